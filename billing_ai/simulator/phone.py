"""The customers' phones: text messages through a Twilio-compatible API."""

from __future__ import annotations

import base64
import email.utils
import hmac
from typing import Any

from aiohttp import web

from billing_ai.simulator import seen
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

LONGEST = 1_600
STOP_WORDS = {"stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe", "stopall"}


class Phone:
    """`/2010-04-01/Accounts/{sid}/Messages.json`: create, list, fetch. Any account, any password."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[web.RouteDef]:
        base = "/2010-04-01/Accounts/{account}"
        return [
            web.post(f"{base}/Messages.json", self.create),
            web.post("/sms/messages", self.create),
            web.get(f"{base}/Messages.json", self.list),
            web.get(base + "/Messages/{sid}.json", self.fetch),
        ]

    async def create(self, request: web.Request) -> web.Response:
        if not request.headers.get("Authorization", "").startswith("Basic "):
            return _error(401, 20003, "Authenticate")
        form = await request.post()
        to, body = str(form.get("To", "")).replace(" ", ""), str(form.get("Body", ""))
        sender = str(form.get("From") or form.get("MessagingServiceSid") or "")
        if not to:
            return _error(400, 21604, "A 'To' phone number is required.")
        if not sender:
            return _error(400, 21603, "A 'From' phone number is required.")
        if not body:
            return _error(400, 21602, "Message body is required.")
        if len(body) > LONGEST:
            return _error(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
        if not to.startswith("+") or not to[1:].isdigit() or not 8 <= len(to) <= 16:
            return _error(400, 21211, f"The 'To' number {to} is not a valid phone number.")
        if to in self._site.store.setting("opted_out", []) and self._site.store.setting("answers_keywords", False):
            return _error(400, 21610, "Attempt to send to unsubscribed recipient")
        with self._site.store.writing():
            message = keep(self._site, to, sender, body, "outbound-api")
            told = {"sms_id": message["id"], "body": body, "key": request.headers.get("Idempotency-Key", "")}
            seen.note(self._site, "sms", "message received", to, told, 201)
        return web.json_response(_shown(message, request.match_info.get("account", "AC0")), status=201)

    async def list(self, request: web.Request) -> web.Response:
        where, values = "1", []
        if request.query.get("To"):
            where, values = "json_extract(body,'$.to') = ?", [request.query["To"]]
        found = self._site.store.find("sms", where, values, order="seq DESC", limit=int(request.query.get("PageSize", "50")))
        account = request.match_info["account"]
        return web.json_response(
            {"messages": [_shown(message, account) for message in found], "page": 0, "page_size": 50, "next_page_uri": None}
        )

    async def fetch(self, request: web.Request) -> web.Response:
        found = self._site.store.get("sms", request.match_info["sid"])
        if found is None:
            return _error(404, 20404, "The requested resource was not found")
        return web.json_response(_shown(found, request.match_info["account"]))


def keep(site: Site, to: str, sender: str, body: str, direction: str) -> Thing:
    """Put a message on the phone (outbound-api) or take the customer's answer (inbound)."""
    number = to if direction == "outbound-api" else sender
    owner = site.store.first("customer", "json_extract(body,'$.phone') = ?", (number,))
    message: Thing = {
        "id": f"SM{site.store.next_number('sms'):032x}",
        "to": to,
        "from": sender,
        "body": body,
        "direction": direction,
        "customer_id": owner["id"] if owner else None,
        "at": site.now(),
    }
    site.store.put("sms", message)
    if direction == "inbound":
        opted_out = set(site.store.setting("opted_out", []))
        if body.strip().lower() in STOP_WORDS:
            opted_out.add(number)
        elif body.strip().lower() in ("start", "unstop"):
            opted_out.discard(number)
        site.store.set_setting("opted_out", sorted(opted_out))
    return message


def signed_webhook(message: Thing, url: str, token: str) -> dict[str, Any]:
    """The request by which Twilio would pass a customer's message on: address, form and headers.

    The signature is as twilio.com/docs/usage/security says: the address, then each field and its value in order of names, HMAC-SHA1, base64.
    """
    form = {
        "MessageSid": message["id"],
        "SmsSid": message["id"],
        "AccountSid": "AC-simulator",
        "From": message["from"],
        "To": message["to"],
        "Body": message["body"],
        "NumMedia": "0",
    }
    text = url
    for name in sorted(form):
        text += name + form[name]
    signature = base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()
    return {"url": url, "form": form, "headers": {"X-Twilio-Signature": signature}}


def _shown(message: Thing, account: str) -> dict[str, Any]:
    return {
        "sid": message["id"],
        "account_sid": account,
        "to": message["to"],
        "from": message["from"],
        "body": message["body"],
        "status": "delivered" if message["direction"] == "outbound-api" else "received",
        "direction": message["direction"],
        "num_segments": str(1 + len(message["body"]) // 160),
        "error_code": None,
        "error_message": None,
        "date_created": email.utils.formatdate(message["at"]),
        "date_sent": email.utils.formatdate(message["at"]),
        "price": None,
        "uri": f"/2010-04-01/Accounts/{account}/Messages/{message['id']}.json",
    }


def _error(status: int, code: int, text: str) -> web.Response:
    body = {"code": code, "message": text, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}
    return web.json_response(body, status=status)
