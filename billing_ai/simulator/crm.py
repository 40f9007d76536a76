"""CRMs around the site: enough of Salesforce's and HubSpot's REST to upsert records and create tasks."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from billing_ai.simulator import seen
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_ISSUED, _TOKEN_SECONDS = "issued-", 7_200
_PREFIX = {"Account": "001", "Contact": "003", "Opportunity": "006", "Task": "00T", "Case": "500"}
_BATCH_LIMIT = 100
_COMPOSITE_LIMIT = 200
_CUSTOMER_FIELDS = {("salesforce", "Account"): "Chargebee_Customer_Id__c", ("hubspot", "companies"): "chargebee_customer_id"}
_UNIQUE = {("hubspot", "tasks"): "billing_effect_key", ("salesforce", "Task"): "Billing_Effect_Key__c"}
_QUERY = re.compile(
    r"SELECT\s+(?P<fields>.+?)\s+FROM\s+(?P<object>\w+)(?:\s+WHERE\s+(?P<field>\w+)\s*(?:=\s*'(?P<value>[^']*)'|IN\s*\((?P<values>[^)]*)\)))?(?:\s+LIMIT\s+(?P<limit>\d+))?\s*$",
    re.IGNORECASE | re.DOTALL,
)


class Crm:
    """Records of both systems share a table, told apart by `system`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[web.RouteDef]:
        force = r"/salesforce/services/data/{version:v\d+\.\d+}"
        spot = "/hubspot/crm/v3/objects/{type}"
        return [
            web.post("/salesforce/services/oauth2/token", self.token),
            web.get(force + "/query", self._known(self.query)),
            web.post(force + "/sobjects/{type}", self._known(self.create)),
            web.get(force + "/sobjects/{type}/{id}", self._known(self.read)),
            web.patch(force + "/sobjects/{type}/{id}", self._known(self.update)),
            web.get(force + "/sobjects/{type}/{field}/{value}", self._known(self.read_external)),
            web.patch(force + "/sobjects/{type}/{field}/{value}", self._known(self.upsert)),
            web.patch(force + "/composite/sobjects/{type}/{field}", self._known(self.upsert_many)),
            web.post(spot, self.spot_create),
            web.get(spot + "/{id}", self.spot_read),
            web.patch(spot + "/{id}", self.spot_update),
            web.post(spot + "/search", self.spot_search),
            web.post(spot + "/batch/upsert", self.spot_upsert),
            web.post(spot + "/batch/read", self.spot_batch_read),
        ]

    # -- Salesforce -----------------------------------------------------------------------------------------------------

    async def token(self, request: web.Request) -> web.Response:
        """OAuth's client credentials flow. Any client but one whose secret is `wrong`; a token is good for two hours."""
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type", "error_description": "grant type not supported"}, status=400)
        if not form.get("client_id") or form.get("client_secret") in (None, "", "wrong"):
            return web.json_response({"error": "invalid_client", "error_description": "invalid client credentials"}, status=400)
        with self._site.store.writing():
            issued = f"{_ISSUED}{self._site.store.next_number('salesforce_token')}"
            held = {token: until for token, until in self._tokens().items() if until > self._site.now()}
            self._site.store.set_setting("salesforce_tokens", held | {issued: self._site.now() + _TOKEN_SECONDS})
        base = f"{self._site.options.base_url}/salesforce"
        told = {"access_token": issued, "instance_url": base, "token_type": "Bearer", "issued_at": str(self._site.now() * 1000)}
        return web.json_response(told)

    def _tokens(self) -> dict[str, int]:
        return dict(self._site.store.setting("salesforce_tokens", {}))

    def _known(self, handler: Handler) -> Handler:
        """Only with a token: one that was issued here and has not run out, or any that somebody made up by hand."""

        async def answer(request: web.Request) -> web.StreamResponse:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            has_expired = token.startswith(_ISSUED) and self._tokens().get(token, 0) <= self._site.now()
            if scheme != "Bearer" or not token or has_expired:
                return web.json_response([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}], status=401)
            return await handler(request)

        return answer

    async def create(self, request: web.Request) -> web.Response:
        fields = await _fields(request)
        if isinstance(fields, web.Response):
            return fields
        with self._site.store.writing():
            record = self._new("salesforce", request.match_info["type"], fields)
            self._note(record, "created", fields, 201)
        return web.json_response({"id": record["record_id"], "success": True, "errors": []}, status=201)

    async def upsert(self, request: web.Request) -> web.Response:
        fields = await _fields(request)
        if isinstance(fields, web.Response):
            return fields
        kind, field, value = (request.match_info[name] for name in ("type", "field", "value"))
        with self._site.store.writing():
            record = self._external("salesforce", kind, field, value)
            created = record is None
            if record is None:
                record = self._new("salesforce", kind, fields | {field: value}, external=(field, value))
            else:
                self._merge(record, fields)
            self._note(record, "created" if created else "updated", fields | {field: value}, 201 if created else 200)
        return web.json_response(
            {"id": record["record_id"], "success": True, "errors": [], "created": created}, status=201 if created else 200
        )

    async def upsert_many(self, request: web.Request) -> web.Response:
        """Up to 200 records by their external id; one answer each, in their order."""
        body = await _fields(request)
        if isinstance(body, web.Response):
            return body
        kind, field = request.match_info["type"], request.match_info["field"]
        records = body.get("records")
        if not isinstance(records, list) or not 1 <= len(records) <= _COMPOSITE_LIMIT:
            return web.json_response([{"message": "records should hold 1 to 200 objects", "errorCode": "INVALID_INPUT"}], status=400)
        results = []
        with self._site.store.writing():
            for entry in records:
                fields = {name: value for name, value in entry.items() if name != "attributes"}
                value = str(fields.get(field) or "")
                if not value:
                    results.append(
                        {
                            "success": False,
                            "errors": [{"statusCode": "MISSING_ARGUMENT", "message": f"{field} not specified", "fields": []}],
                        }
                    )
                    continue
                record = self._external("salesforce", kind, field, value)
                created = record is None
                if record is None:
                    record = self._new("salesforce", kind, fields, external=(field, value))
                else:
                    self._merge(record, fields)
                self._note(record, "created" if created else "updated", fields, 200)
                results.append({"id": record["record_id"], "success": True, "errors": [], "created": created})
        return web.json_response(results)

    async def update(self, request: web.Request) -> web.Response:
        fields = await _fields(request)
        if isinstance(fields, web.Response):
            return fields
        record = self._site.store.get("crm_record", f"salesforce:{request.match_info['type']}:{request.match_info['id']}")
        if record is None:
            return _sf_missing()
        with self._site.store.writing():
            self._merge(record, fields)
            self._note(record, "updated", fields, 204)
        return web.Response(status=204)

    async def read(self, request: web.Request) -> web.Response:
        record = self._site.store.get("crm_record", f"salesforce:{request.match_info['type']}:{request.match_info['id']}")
        return web.json_response(_sf_shown(record)) if record else _sf_missing()

    async def read_external(self, request: web.Request) -> web.Response:
        record = self._external("salesforce", *(request.match_info[name] for name in ("type", "field", "value")))
        return web.json_response(_sf_shown(record)) if record else _sf_missing()

    async def query(self, request: web.Request) -> web.Response:
        """`SELECT … FROM Object [WHERE Field = 'value' | Field IN ('a', 'b')] [LIMIT n]`."""
        asked = _QUERY.match(request.query.get("q", "").strip())
        if asked is None:
            return web.json_response([{"message": "unexpected token", "errorCode": "MALFORMED_QUERY"}], status=400)
        if asked["values"] is not None:
            wanted = re.findall(r"'([^']*)'", asked["values"])
            found = [one for value in wanted if (one := self._external("salesforce", asked["object"], asked["field"], value))]
        elif asked["field"] and asked["field"] != "Id":
            one = self._external("salesforce", asked["object"], asked["field"], asked["value"])
            found = [one] if one else []
        else:
            found = self._of("salesforce", asked["object"])
            if asked["field"]:
                found = [record for record in found if record["record_id"] == asked["value"]]
        found = found[: int(asked["limit"] or 2_000)]
        return web.json_response({"totalSize": len(found), "done": True, "records": [_sf_shown(record) for record in found]})

    # -- HubSpot --------------------------------------------------------------------------------------------------------

    async def spot_create(self, request: web.Request) -> web.Response:
        body = await _fields(request)
        if isinstance(body, web.Response):
            return body
        kind, properties = request.match_info["type"], body.get("properties") or {}
        unique = _UNIQUE.get(("hubspot", kind))
        if unique and properties.get(unique) and self._external("hubspot", kind, unique, str(properties[unique])):
            return web.json_response({"status": "error", "message": f"{unique} is already in use", "category": "CONFLICT"}, status=409)
        with self._site.store.writing():
            record = self._new("hubspot", kind, properties)
            record["associations"] = body.get("associations") or []
            self._site.store.put("crm_record", record)
            self._note(record, "created", body.get("properties"), 201)
        return web.json_response(_hs_shown(record), status=201)

    async def spot_read(self, request: web.Request) -> web.Response:
        kind, ident = request.match_info["type"], request.match_info["id"]
        id_property = request.query.get("idProperty")
        record = (
            self._external("hubspot", kind, id_property, ident)
            if id_property
            else self._site.store.get("crm_record", f"hubspot:{kind}:{ident}")
        )
        return web.json_response(_hs_shown(record)) if record else _hs_missing()

    async def spot_update(self, request: web.Request) -> web.Response:
        body = await _fields(request)
        if isinstance(body, web.Response):
            return body
        kind, ident = request.match_info["type"], request.match_info["id"]
        id_property = request.query.get("idProperty")
        record = (
            self._external("hubspot", kind, id_property, ident)
            if id_property
            else self._site.store.get("crm_record", f"hubspot:{kind}:{ident}")
        )
        if record is None:
            return _hs_missing()
        with self._site.store.writing():
            self._merge(record, body.get("properties") or {})
            self._note(record, "updated", body.get("properties"), 200)
        return web.json_response(_hs_shown(record))

    async def spot_upsert(self, request: web.Request) -> web.Response:
        body = await _fields(request)
        if isinstance(body, web.Response):
            return body
        inputs = body.get("inputs")
        if not isinstance(inputs, list) or not 1 <= len(inputs) <= _BATCH_LIMIT:
            return web.json_response(
                {"status": "error", "message": "inputs should hold 1 to 100 objects", "category": "VALIDATION_ERROR"}, status=400
            )
        results = []
        kind = request.match_info["type"]
        with self._site.store.writing():
            for entry in inputs:
                field, value, fields = entry.get("idProperty"), str(entry.get("id", "")), entry.get("properties") or {}
                record = (
                    self._external("hubspot", kind, field, value)
                    if field
                    else self._site.store.get("crm_record", f"hubspot:{kind}:{value}")
                )
                created = record is None
                if record is None:
                    record = self._new(
                        "hubspot", kind, fields | ({field: value} if field else {}), external=(field, value) if field else None
                    )
                else:
                    self._merge(record, fields)
                self._note(record, "created" if created else "updated", fields, 200)
                results.append(_hs_shown(record) | {"new": created})
        return web.json_response({"status": "COMPLETE", "results": results})

    async def spot_search(self, request: web.Request) -> web.Response:
        body = await _fields(request)
        if isinstance(body, web.Response):
            return body
        found = self._of("hubspot", request.match_info["type"])
        wanted = [f for group in body.get("filterGroups", []) for f in group.get("filters", []) if f.get("operator") == "EQ"]
        found = [r for r in found if all(str(r["fields"].get(f["propertyName"], "")) == str(f["value"]) for f in wanted)]
        return web.json_response({"total": len(found), "results": [_hs_shown(record) for record in found[: int(body.get("limit", 10))]]})

    async def spot_batch_read(self, request: web.Request) -> web.Response:
        body = await _fields(request)
        if isinstance(body, web.Response):
            return body
        kind, field = request.match_info["type"], body.get("idProperty")
        found = [
            self._external("hubspot", kind, field, entry["id"])
            if field
            else self._site.store.get("crm_record", f"hubspot:{kind}:{entry['id']}")
            for entry in body.get("inputs", [])
        ]
        return web.json_response({"status": "COMPLETE", "results": [_hs_shown(record) for record in found if record]})

    # -- records --------------------------------------------------------------------------------------------------------

    def _new(self, system: str, kind: str, fields: dict[str, Any], external: tuple[str, str] | None = None) -> Thing:
        number = self._site.store.next_number("crm_record")
        ident = f"{_PREFIX.get(kind, 'a00')}{number:015d}" if system == "salesforce" else str(10_000 + number)
        record: Thing = {"id": f"{system}:{kind}:{ident}", "record_id": ident, "system": system, "object_type": kind, "fields": fields}
        record |= {"external_field": external[0] if external else None, "external_id": external[1] if external else None}
        record |= {"created_at": self._site.now(), "updated_at": self._site.now()}
        self._site.store.put("crm_record", record)
        return record

    def _merge(self, record: Thing, fields: dict[str, Any]) -> None:
        record["fields"] |= fields
        record["updated_at"] = self._site.now()
        self._site.store.put("crm_record", record)

    def _of(self, system: str, kind: str) -> list[Thing]:
        return self._site.store.find("crm_record", "id LIKE ?", (f"{system}:{kind}:%",))

    def _external(self, system: str, kind: str, field: str | None, value: str) -> Thing | None:
        """The record whose field has that value. Every customer of the site has an account in both CRMs, made when first looked for."""
        if field is None:
            return None
        where = f"id LIKE ? AND json_extract(body,'$.fields.\"{field}\"') = ?"
        found = self._site.store.first("crm_record", where, (f"{system}:{kind}:%", value)) if field.isidentifier() else None
        if found is None and _CUSTOMER_FIELDS.get((system, kind)) == field:
            customer = self._site.store.get("customer", value)
            if customer is not None:
                name = {"Name": customer["company"]} if system == "salesforce" else {"name": customer["company"]}
                with self._site.store.writing():
                    return self._new(system, kind, name | {field: value}, external=(field, value))
        return found

    def _note(self, record: Thing, what: str, fields: Any, status: int) -> None:
        seen.note(self._site, record["system"], f"{record['object_type']} {what}", record["record_id"], fields, status)


async def _fields(request: web.Request) -> dict[str, Any] | web.Response:
    if not request.headers.get("Authorization", "").startswith("Bearer "):
        return web.json_response([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}], status=401)
    try:
        found = json.loads(await request.text() or "{}")
    except ValueError:
        return web.json_response([{"message": "JSON could not be parsed", "errorCode": "JSON_PARSER_ERROR"}], status=400)
    return (
        found
        if isinstance(found, dict)
        else web.json_response([{"message": "An object is expected", "errorCode": "JSON_PARSER_ERROR"}], status=400)
    )


def _sf_shown(record: Thing) -> dict[str, Any]:
    head = {"attributes": {"type": record["object_type"]}, "Id": record["record_id"], "CreatedDate": _iso(record["created_at"], "+0000")}
    fields: dict[str, Any] = record["fields"]
    return head | fields


def _sf_missing() -> web.Response:
    return web.json_response([{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}], status=404)


def _hs_shown(record: Thing) -> dict[str, Any]:
    times = {"createdAt": _iso(record["created_at"], "Z"), "updatedAt": _iso(record["updated_at"], "Z")}
    return {"id": record["record_id"], "properties": record["fields"], "archived": False} | times


def _iso(moment: int, zone: str) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000") + zone


def _hs_missing() -> web.Response:
    return web.json_response({"status": "error", "message": "resource not found", "category": "OBJECT_NOT_FOUND"}, status=404)
