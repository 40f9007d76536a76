"""`/control`: the levers that tests and the demo pull. No key: it listens on the loopback only."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from billing_ai.simulator import actions, billing, phone, scenarios
from billing_ai.simulator.api.webhook_endpoints import add_endpoint
from billing_ai.simulator.errors import ApiError
from billing_ai.simulator.faults import Faults
from billing_ai.simulator.running import TimeKeeper
from billing_ai.simulator.site import Site, public
from billing_ai.simulator.webhooks import Webhooks

_KNOBS = (
    "hold_webhooks",
    "duplicate_share",
    "late_share",
    "shuffle",
    "rate_limit",
    "event_list_lag_seconds",
    "dunning_final_action",
    "answers_keywords",
    "salesforce_tokens",
)


class Control:
    """JSON levers over the site."""

    def __init__(self, site: Site, faults: Faults, keeper: TimeKeeper, webhooks: Webhooks) -> None:
        self._site, self._faults, self._keeper, self._webhooks = site, faults, keeper, webhooks

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/control/ready", self.ready),
            web.get("/control/mail", self.mail),
            web.get("/control/sms", self.sms),
            web.post("/control/sms/reply", self.reply),
            web.get("/control/tickets", self.tickets),
            web.get("/control/calls", self.calls),
            web.get("/control/customers", self.customers),
            web.get("/control/books", self.books),
            web.get("/control/deliveries", self.deliveries),
            web.get("/control/clock", self.clock),
            web.post("/control/clock", self.move_clock),
            web.post("/control/fail_payment", self.fail_payment),
            web.post("/control/pay", self.pay),
            web.post("/control/card", self.card),
            web.post("/control/truth", self.truth),
            web.post("/control/outage", self.outage),
            web.post("/control/scenario", self.scenario),
            web.post("/control/deliver", self.deliver),
            web.post("/control/webhooks", self.webhooks),
            web.get("/control/settings", self.settings),
            web.post("/control/settings", self.set_settings),
            web.get("/control/faults", self.faults),
            web.post("/control/faults", self.add_fault),
            web.delete("/control/faults", self.clear_faults),
        ]

    async def ready(self, request: web.Request) -> web.Response:
        store = self._site.store
        counts = {kind: store.count(kind) for kind in ("customer", "subscription", "invoice", "transaction", "event")}
        pending = store.count("delivery", "status IN ('pending','waiting')")
        return web.json_response(
            {"ready": True, "now": self._site.now(), "counts": counts, "deliveries_open": pending, "webhooks_sent": self._webhooks.sent}
        )

    async def mail(self, request: web.Request) -> web.Response:
        """Newest first; `?to=`, `?customer_id=`."""
        where, values = _conditions(request, {"to": "json_extract(body,'$.to') = ?", "customer_id": "customer_id = ?"})
        return web.json_response({"mail": self._site.store.find("mail", where, values, order="seq DESC", limit=_limit(request))})

    async def sms(self, request: web.Request) -> web.Response:
        where, values = _conditions(request, {"to": "json_extract(body,'$.to') = ?", "customer_id": "customer_id = ?"})
        return web.json_response({"sms": self._site.store.find("sms", where, values, order="seq DESC", limit=_limit(request))})

    async def reply(self, request: web.Request) -> web.Response:
        """The customer answers: `{"from": "+49…", "to": "+1…", "body": "STOP"}`. With `url` and `token` also the request that passes it on."""
        told = await _json(request)
        with self._site.store.writing():
            message = phone.keep(self._site, told.get("to", ""), told["from"], told["body"], "inbound")
        webhook = phone.signed_webhook(message, told["url"], told["token"]) if "url" in told else None
        return web.json_response(message | ({"webhook": webhook} if webhook else {}))

    async def tickets(self, request: web.Request) -> web.Response:
        found = self._site.store.find("ticket", order="seq DESC", limit=_limit(request))
        return web.json_response({"tickets": [public(ticket) for ticket in found]})

    async def calls(self, request: web.Request) -> web.Response:
        """What the outside world has seen of us, oldest first; `?channel=`, `?what=`."""
        where, values = _conditions(request, {"channel": "json_extract(body,'$.channel') = ?", "what": "json_extract(body,'$.what') = ?"})
        return web.json_response({"calls": self._site.store.find("seen", where, values, order="seq", limit=_limit(request, 1_000))})

    async def customers(self, request: web.Request) -> web.Response:
        """Customers with the hidden truth about their cards; `?limit=`, `?id=`."""
        where, values = _conditions(request, {"id": "id = ?"})
        found = []
        for customer in self._site.store.find("customer", where, values, order="seq", limit=_limit(request, 200)):
            truth = self._site.store.get("truth", customer.get("primary_payment_source_id") or "")
            owed = actions.open_invoices(self._site, customer["id"])
            found.append(public(customer) | {"truth": truth, "open_invoice_ids": [invoice["id"] for invoice in owed]})
        return web.json_response({"customers": found})

    async def books(self, request: web.Request) -> web.Response:
        found = billing.books(self._site)
        return web.json_response({"books": found, "balanced": all(entry["difference"] == 0 for entry in found.values())})

    async def deliveries(self, request: web.Request) -> web.Response:
        where, values = _conditions(request, {"status": "status = ?"})
        return web.json_response(
            {"deliveries": self._site.store.find("delivery", where, values, order="seq DESC", limit=_limit(request, 200))}
        )

    async def clock(self, request: web.Request) -> web.Response:
        return web.json_response({"now": self._site.now()})

    async def move_clock(self, request: web.Request) -> web.Response:
        """`{"advance_seconds": 3600}` or `{"to": 1790000000}`; answers when everything due has happened."""
        told = await _json(request)
        moment = int(told["to"]) if "to" in told else self._site.now() + int(told["advance_seconds"])
        done = await self._keeper.move_to(moment)
        return web.json_response({"now": self._site.now(), "done": done})

    async def fail_payment(self, request: web.Request) -> web.Response:
        """`{"customer_id" | "invoice_id" | "count", "code"}`: fail now, announced by webhooks."""
        told = await _json(request)
        with self._site.store.writing():
            failed = [
                actions.fail_payment(
                    self._site, customer_id=told.get("customer_id"), invoice_id=told.get("invoice_id"), code=told.get("code")
                )
                for _ in range(int(told.get("count", 1)))
            ]
            self._site.source = "api"
        return web.json_response({"failed": failed} | failed[0])

    async def pay(self, request: web.Request) -> web.Response:
        told = await _json(request)
        with self._site.store.writing():
            transaction = actions.pay(self._site, told["invoice_id"])
            self._site.source = "api"
        return web.json_response({"transaction": transaction})

    async def card(self, request: web.Request) -> web.Response:
        """`{"customer_id", "number"?}`: the customer enters a new card."""
        told = await _json(request)
        with self._site.store.writing():
            source = actions.change_card(self._site, told["customer_id"], told.get("number", "4242424242424242"))
            self._site.source = "api"
        return web.json_response({"payment_source": public(source)})

    async def truth(self, request: web.Request) -> web.Response:
        """`{"customer_id", "state", "paydays"?, "funded_until"?}`: what the bank will say from now on."""
        told = await _json(request)
        customer = self._site.must("customer", told.pop("customer_id"))
        ident = customer.get("primary_payment_source_id") or ""
        with self._site.store.writing():
            truth = (self._site.store.get("truth", ident) or {"id": ident, "customer_id": customer["id"]}) | told
            self._site.store.put("truth", truth)
        return web.json_response({"truth": truth})

    async def outage(self, request: web.Request) -> web.Response:
        """`{"gateway": "stripe", "seconds": 3600}`: the gateway's processor is down for that long."""
        told = await _json(request)
        with self._site.store.writing():
            self._site.store.set_setting(f"gateway_outage:{told['gateway']}", self._site.now() + int(told["seconds"]))
        return web.json_response({"until": self._site.now() + int(told["seconds"])})

    async def scenario(self, request: web.Request) -> web.Response:
        """`{"name": "decline_spike"}`: start a scenario now; its first steps run at once."""
        told = await _json(request)
        with self._site.store.writing():
            steps = scenarios.start(self._site, told["name"])
        self._keeper.do_due(self._site.now())
        return web.json_response({"steps": steps})

    async def deliver(self, request: web.Request) -> web.Response:
        """Push pending webhooks at once, those that wait for a retry too."""
        before = self._webhooks.sent
        reached = await self._webhooks.deliver(whatever_is_due=True)
        return web.json_response({"sent": self._webhooks.sent - before, "reached": reached})

    async def webhooks(self, request: web.Request) -> web.Response:
        """`{"url", "user", "password"}`: the one endpoint of ours; events of the last day that nobody got are sent to it."""
        told = await _json(request)
        with self._site.store.writing():
            endpoint = set_endpoint(self._site, told["url"], told.get("user", ""), told.get("password", ""))
        return web.json_response({"webhook_endpoint": public(endpoint)})

    async def settings(self, request: web.Request) -> web.Response:
        return web.json_response({name: self._site.store.setting(name) for name in _KNOBS})

    async def set_settings(self, request: web.Request) -> web.Response:
        told = await _json(request)
        unknown = set(told) - set(_KNOBS)
        if unknown:
            raise ApiError(400, "invalid_request", f"unknown settings: {', '.join(sorted(unknown))}")
        with self._site.store.writing():
            for name, value in told.items():
                self._site.store.set_setting(name, value)
        self._site.webhooks_wanted.set()
        return web.json_response(told)

    async def faults(self, request: web.Request) -> web.Response:
        return web.json_response({"faults": self._faults.all()})

    async def add_fault(self, request: web.Request) -> web.Response:
        try:
            return web.json_response({"fault": self._faults.add(await _json(request))})
        except ValueError as error:
            raise ApiError(400, "invalid_request", str(error)) from error

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._faults.clear()
        return web.json_response({"faults": []})


def set_endpoint(site: Site, url: str, user: str, password: str) -> dict[str, Any]:
    """Register (or re-point) the endpoint that the command line or a test names."""
    known = site.store.first("webhook_endpoint", "json_extract(body,'$._main') = 1")
    if known is None:
        endpoint = add_endpoint(site, {"name": "product", "url": url, "basic_auth_username": user, "basic_auth_password": password})
        endpoint["_main"] = True
        site.store.put("webhook_endpoint", endpoint)
    else:
        changed = known["url"] != url
        endpoint = known | {"url": url, "_user": user, "_password": password}
        if changed:
            endpoint["_has_answered"] = False
        site.store.put("webhook_endpoint", endpoint)
    for event in site.store.find("event", "at > ?", (site.now() - 86_400,), order="at, seq"):
        if event["webhook_status"] != "not_configured":
            continue
        event |= {"webhook_status": "scheduled", "webhooks": [{"id": endpoint["id"], "webhook_status": "scheduled", "object": "webhook"}]}
        site.store.put("event", event)
        delivery = {
            "id": f"{event['id']}:{endpoint['id']}",
            "event_id": event["id"],
            "endpoint_id": endpoint["id"],
            "event_type": event["event_type"],
        }
        site.store.put("delivery", delivery | {"status": "pending", "attempts": 0, "at": event["occurred_at"]})
    site.webhooks_wanted.set()
    return endpoint


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        found = await request.json() if request.can_read_body else {}
    except ValueError:
        raise ApiError(400, "invalid_request", "The body is not valid JSON") from None
    if not isinstance(found, dict):
        raise ApiError(400, "invalid_request", "The body should be an object")
    return found


def _conditions(request: web.Request, known: dict[str, str]) -> tuple[str, list[str]]:
    used = [name for name in known if request.query.get(name)]
    return " AND ".join(known[name] for name in used) or "1", [request.query[name] for name in used]


def _limit(request: web.Request, default: int = 100) -> int:
    return int(request.query.get("limit", str(default)))
