"""A help desk that speaks enough Zendesk: tickets with comments, found again by external id."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from typing import Any

from aiohttp import web

from billing_ai.simulator import seen
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

STATUSES = ("new", "open", "pending", "hold", "solved", "closed")
PRIORITIES = ("low", "normal", "high", "urgent")
_FIELDS = (
    "subject",
    "status",
    "priority",
    "type",
    "tags",
    "external_id",
    "assignee_id",
    "group_id",
    "requester_id",
    "custom_fields",
    "due_at",
)


class HelpDesk:
    """`/zendesk/api/v2`: create (idempotent), show, list, update with comments, search."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[web.RouteDef]:
        base = "/zendesk/api/v2"
        return [
            web.post(f"{base}/tickets.json", self.create),
            web.post(f"{base}/tickets", self.create),
            web.get(f"{base}/tickets.json", self.list),
            web.get(f"{base}/tickets", self.list),
            web.get(base + r"/tickets/{id:\d+}.json", self.show),
            web.get(base + r"/tickets/{id:\d+}", self.show),
            web.put(base + r"/tickets/{id:\d+}.json", self.update),
            web.put(base + r"/tickets/{id:\d+}", self.update),
            web.get(base + r"/tickets/{id:\d+}/comments.json", self.comments),
            web.get(base + r"/tickets/{id:\d+}/comments", self.comments),
            web.get(base + r"/tickets/{id:\d+}/audits.json", self.audits),
            web.get(f"{base}/search.json", self.search),
            web.get(f"{base}/users/me.json", self.me),
            web.get(r"/zendesk/agent/tickets/{id:\d+}", self.agents_page),
        ]

    async def create(self, request: web.Request) -> web.Response:
        refused, ticket_in = await _ticket_of(request)
        if refused is not None:
            return refused
        comment = ticket_in.get("comment") or {}
        if not (comment.get("body") or comment.get("html_body") or ticket_in.get("description")):
            return _invalid("comment", "Description: cannot be blank")
        wrong = _wrong(ticket_in)
        if wrong is not None:
            return wrong
        key = request.headers.get("Idempotency-Key", "")
        fingerprint = hashlib.sha256(json.dumps(ticket_in, sort_keys=True).encode()).hexdigest()
        known = self._site.store.first("ticket", "json_extract(body,'$._key') = ?", (key,)) if key else None
        if known is not None:
            if known["_fingerprint"] != fingerprint:
                return web.json_response(
                    {"error": "IdempotencyKeyConflict", "description": "The key was used with another body"}, status=400
                )
            return web.json_response({"ticket": _shown(known)}, status=201, headers={"x-idempotency-lookup": "hit"})
        with self._site.store.writing():
            number = self._site.store.next_number("ticket")
            now = self._site.now()
            ticket: Thing = {"id": str(number), "status": "new", "priority": None, "type": None, "tags": [], "subject": ""}
            ticket |= {name: ticket_in[name] for name in _FIELDS if ticket_in.get(name) is not None}
            ticket |= {
                "requester": ticket_in.get("requester"),
                "description": comment.get("body") or comment.get("html_body") or ticket_in.get("description"),
            }
            ticket |= {"created_at": now, "at": now, "updated_at": now, "_key": key, "_fingerprint": fingerprint}
            self._site.store.put("ticket", ticket)
            self._comment(ticket, comment or {"body": ticket["description"]})
            seen.note(
                self._site,
                "helpdesk",
                "ticket created",
                str(number),
                {"subject": ticket["subject"], "external_id": ticket.get("external_id")},
                201,
            )
        return web.json_response({"ticket": _shown(ticket)}, status=201, headers={"x-idempotency-lookup": "miss"} if key else {})

    async def update(self, request: web.Request) -> web.Response:
        refused, ticket_in = await _ticket_of(request)
        if refused is not None:
            return refused
        ticket = self._site.store.get("ticket", request.match_info["id"])
        if ticket is None:
            return _missing()
        wrong = _wrong(ticket_in)
        if wrong is not None:
            return wrong
        if ticket["status"] == "closed":
            return _invalid("status", "Status: closed prevents ticket update")
        with self._site.store.writing():
            ticket |= {name: ticket_in[name] for name in _FIELDS if name in ticket_in}
            ticket["updated_at"] = self._site.now()
            self._site.store.put("ticket", ticket)
            audit = self._comment(ticket, ticket_in.get("comment") or {}, ticket_in.get("metadata"))
            seen.note(self._site, "helpdesk", "ticket updated", ticket["id"], ticket_in, 200)
        return web.json_response({"ticket": _shown(ticket), "audit": _audit(audit)})

    def _comment(self, ticket: Thing, comment: dict[str, Any], metadata: dict[str, Any] | None = None) -> Thing:
        """Every change has its audit; one with words is a comment too."""
        kept: Thing = {
            "id": str(self._site.store.next_number("ticket_comment")),
            "ticket_id": ticket["id"],
            "body": comment.get("body") or comment.get("html_body"),
            "public": comment.get("public", True),
            "metadata": metadata or {},
            "at": self._site.now(),
        }
        self._site.store.put("ticket_comment", kept)
        return kept

    async def audits(self, request: web.Request) -> web.Response:
        if not _allowed(request):
            return _unauthorised()
        found = self._site.store.find("ticket_comment", "json_extract(body,'$.ticket_id') = ?", (request.match_info["id"],))
        return web.json_response({"audits": [_audit(entry) for entry in found], "meta": {"has_more": False, "after_cursor": None}})

    async def show(self, request: web.Request) -> web.Response:
        if not _allowed(request):
            return _unauthorised()
        ticket = self._site.store.get("ticket", request.match_info["id"])
        return web.json_response({"ticket": _shown(ticket)}) if ticket else _missing()

    async def list(self, request: web.Request) -> web.Response:
        if not _allowed(request):
            return _unauthorised()
        external = request.query.get("external_id")
        where, values = ("json_extract(body,'$.external_id') = ?", [external]) if external else ("1", [])
        tickets = self._site.store.find("ticket", where, values, order="seq DESC", limit=100)
        return web.json_response({"tickets": [_shown(ticket) for ticket in tickets], "count": len(tickets), "next_page": None})

    async def comments(self, request: web.Request) -> web.Response:
        if not _allowed(request):
            return _unauthorised()
        found = self._site.store.find("ticket_comment", "json_extract(body,'$.ticket_id') = ?", (request.match_info["id"],))
        found = [entry for entry in found if entry["body"]]
        shown = [{"id": int(c["id"]), "body": c["body"], "public": c["public"], "created_at": _iso(c["at"])} for c in found]
        return web.json_response({"comments": shown, "count": len(shown), "next_page": None})

    async def search(self, request: web.Request) -> web.Response:
        if not _allowed(request):
            return _unauthorised()
        query = request.query.get("query", "")
        external = re.search(r'external_id:"?([^"\s]+)"?', query)
        requester = re.search(r'requester:"?([^"\s]+)"?', query)
        tags = re.findall(r'tags:"?([^"\s]+)"?', query)
        tickets = self._site.store.find("ticket", order="seq DESC", limit=500)
        if external:
            tickets = [t for t in tickets if t.get("external_id") == external.group(1)]
        if requester:
            tickets = [t for t in tickets if (t.get("requester") or {}).get("email") == requester.group(1)]
        tickets = [t for t in tickets if all(tag in t["tags"] for tag in tags)]
        if request.query.get("sort_by") == "created_at" and request.query.get("sort_order") == "asc":
            tickets.reverse()
        shown = [_shown(ticket) | {"result_type": "ticket"} for ticket in tickets[:100]]
        return web.json_response({"results": shown, "count": len(shown), "next_page": None})

    async def me(self, request: web.Request) -> web.Response:
        if not _allowed(request):
            return _unauthorised()
        return web.json_response({"user": {"id": 1, "name": "Simulator agent", "role": "agent", "active": True}})

    async def agents_page(self, request: web.Request) -> web.Response:
        """Where an agent looks at a ticket: the simulator shows all of them on one page."""
        raise web.HTTPFound(f"/helpdesk/#ticket-{request.match_info['id']}")


async def _ticket_of(request: web.Request) -> tuple[web.Response | None, dict[str, Any]]:
    if not _allowed(request):
        return _unauthorised(), {}
    try:
        body = await request.json()
        ticket = body["ticket"]
    except (ValueError, KeyError, TypeError):
        return web.json_response({"error": "Unprocessable Entity", "message": "Server could not parse JSON"}, status=422), {}
    if not isinstance(ticket, dict):
        return web.json_response({"error": "Unprocessable Entity", "message": "ticket should be an object"}, status=422), {}
    return None, ticket


def _wrong(ticket: dict[str, Any]) -> web.Response | None:
    if ticket.get("status") not in (None, *STATUSES):
        return _invalid("status", f"Status: {ticket['status']} is not included in the list")
    if ticket.get("priority") not in (None, *PRIORITIES):
        return _invalid("priority", f"Priority: {ticket['priority']} is not included in the list")
    return None


def _allowed(request: web.Request) -> bool:
    return request.headers.get("Authorization", "").startswith(("Basic ", "Bearer "))


def _unauthorised() -> web.Response:
    return web.json_response({"error": "Couldn't authenticate you"}, status=401)


def _missing() -> web.Response:
    return web.json_response({"error": "RecordNotFound", "description": "Not found"}, status=404)


def _invalid(field: str, text: str) -> web.Response:
    details = {field: [{"description": text, "error": "InvalidValue"}]}
    return web.json_response({"error": "RecordInvalid", "description": "Record validation errors", "details": details}, status=422)


def _audit(entry: Thing) -> dict[str, Any]:
    return {
        "id": int(entry["id"]),
        "ticket_id": int(entry["ticket_id"]),
        "created_at": _iso(entry["at"]),
        "metadata": {"custom": entry["metadata"], "system": {}},
    }


def _iso(moment: int) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(ticket: Thing) -> dict[str, Any]:
    shown = {name: value for name, value in ticket.items() if not name.startswith("_") and name != "at"}
    return shown | {"id": int(ticket["id"]), "created_at": _iso(ticket["created_at"]), "updated_at": _iso(ticket["updated_at"])}
