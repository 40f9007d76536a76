"""Pages for people: mailbox, phone, payment page, help desk, CRM, clock, and what was seen of us."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web

from billing_ai.simulator import actions, billing, scenarios, seen
from billing_ai.simulator.cards import TEST_NUMBERS
from billing_ai.simulator.errors import ApiError
from billing_ai.simulator.money import shown
from billing_ai.simulator.pdf import one_page
from billing_ai.simulator.running import TimeKeeper
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing
from billing_ai.simulator.webhooks import Webhooks

_PATHS = {
    "overview.html": "/",
    "mailboxes.html": "/mailbox/",
    "phone.html": "/phone/",
    "helpdesk.html": "/helpdesk/",
    "crm.html": "/crm/",
    "clock.html": "/clock/",
    "seen.html": "/seen/",
}
"""Which entry of the navigation a page belongs to."""

ADDED_UP_AT_ONCE = 20_000
"""Invoices up to which the overview adds up the books by itself; beyond, it takes seconds and is asked for."""


class Pages:
    """HTML over the site."""

    def __init__(self, site: Site, keeper: TimeKeeper, webhooks: Webhooks) -> None:
        self._site, self._keeper, self._webhooks = site, keeper, webhooks
        self._templates = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)
        self._templates.filters |= {"money": shown, "when": _when, "day": lambda moment: _when(moment)[:10], "plain": _plain}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.overview),
            web.get("/mailbox/", self.mailboxes),
            web.get("/mailbox/{who}", self.mailbox),
            web.get("/phone/", self.phones),
            web.get("/phone/{number}", self.phone),
            web.get("/helpdesk/", self.helpdesk),
            web.get("/crm/", self.crm),
            web.get("/clock/", self.clock),
            web.post("/clock/move", self.move_clock),
            web.post("/clock/scenario", self.start_scenario),
            web.get("/seen/", self.seen),
            web.get("/download/{token}.pdf", self.download),
            web.get("/pay/{token}", self.pay_page),
            web.post("/pay/{token}/pay", self.pay),
            web.post("/pay/{token}/card", self.change_card),
        ]

    def _page(self, name: str, status: int = 200, **values: Any) -> web.Response:
        text = self._templates.get_template(name).render(now=_when(self._site.now()), here=_PATHS.get(name, ""), **values)
        return web.Response(text=text, content_type="text/html", status=status)

    async def overview(self, request: web.Request) -> web.Response:
        store = self._site.store
        unpaid = []
        for invoice in store.find("invoice", "status IN ('payment_due','not_paid')", order="at DESC", limit=60):
            customer = store.get("customer", invoice["customer_id"]) or {}
            truth = store.get("truth", customer.get("primary_payment_source_id") or "")
            source = store.get("payment_source", customer.get("primary_payment_source_id") or "")
            unpaid.append({"invoice": invoice, "customer": customer, "truth": truth, "source": source})
        counts = {kind: store.count(kind) for kind in ("customer", "subscription", "invoice", "transaction", "event")}
        waiting = store.count("delivery", "status IN ('pending','waiting')")
        return self._page(
            "overview.html",
            counts=counts,
            deliveries_open=waiting,
            sent=self._webhooks.sent,
            books=billing.books(self._site) if counts["invoice"] <= ADDED_UP_AT_ONCE or "books" in request.query else None,
            unpaid=unpaid,
        )

    async def mailboxes(self, request: web.Request) -> web.Response:
        return self._page("mailboxes.html", heading="All mailboxes", mails=self._site.store.find("mail", order="seq DESC", limit=100))

    async def mailbox(self, request: web.Request) -> web.Response:
        """The box of an address or of a customer's id."""
        who = request.match_info["who"]
        customer = self._site.store.get("customer", who)
        address = str(customer["email"]) if customer else who.lower()
        mails = self._site.store.find("mail", "json_extract(body,'$.to') = ?", (address,), order="seq DESC", limit=100)
        return self._page("mailboxes.html", heading=f"Mailbox of {address}", mails=mails)

    async def phones(self, request: web.Request) -> web.Response:
        return self._page("phone.html", heading="All phones", messages=self._site.store.find("sms", order="seq DESC", limit=100))

    async def phone(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        where = "json_extract(body,'$.to') = ? OR json_extract(body,'$.from') = ?"
        messages = self._site.store.find("sms", where, (number, number), order="seq DESC", limit=100)
        return self._page("phone.html", heading=f"Phone {number}", messages=messages)

    async def helpdesk(self, request: web.Request) -> web.Response:
        entries = []
        for ticket in self._site.store.find("ticket", order="seq DESC", limit=100):
            comments = self._site.store.find("ticket_comment", "json_extract(body,'$.ticket_id') = ?", (ticket["id"],))
            entries.append({"ticket": ticket, "comments": comments})
        return self._page("helpdesk.html", tickets=entries)

    async def crm(self, request: web.Request) -> web.Response:
        return self._page("crm.html", records=self._site.store.find("crm_record", order="updated_at DESC", limit=200))

    async def clock(self, request: web.Request) -> web.Response:
        due = self._site.store.rows("SELECT at, what, ref FROM due ORDER BY at, seq LIMIT 40")
        return self._page("clock.html", due=due, scenarios=scenarios.known())

    async def move_clock(self, request: web.Request) -> web.Response:
        form = await request.post()
        await self._keeper.move_to(self._site.now() + int(str(form.get("seconds", "0"))))
        raise web.HTTPSeeOther("/clock/")

    async def start_scenario(self, request: web.Request) -> web.Response:
        with self._site.store.writing():
            scenarios.start(self._site, str((await request.post()).get("name", "")))
        self._keeper.do_due(self._site.now())
        raise web.HTTPSeeOther("/clock/")

    async def seen(self, request: web.Request) -> web.Response:
        return self._page("seen.html", lines=self._site.store.find("seen", order="seq DESC", limit=200))

    async def download(self, request: web.Request) -> web.Response:
        """The PDF behind `Invoice.pdf`, until its link expires."""
        held = self._site.store.get("download", request.match_info["token"])
        if held is None or held["valid_till"] < self._site.now():
            raise web.HTTPGone(text="This link has expired.")
        document = self._site.must(held["kind"], held["of"])
        currency = document["currency_code"]
        lines = ["Northwind Cloud", f"{held['kind'].replace('_', ' ').title()} {document['id']}", _when(document["date"])[:10], ""]
        lines += [f"{line['description']}: {shown(line['amount'], currency)}" for line in document["line_items"]]
        lines += ["", f"Total: {shown(document['total'], currency)}"]
        return web.Response(body=one_page(lines), content_type="application/pdf")

    async def pay_page(self, request: web.Request) -> web.Response:
        return self._pay_page(request.match_info["token"])

    def _pay_page(self, token: str, *, problem: str = "", done: str = "") -> web.Response:
        page = self._site.store.get("hosted_page", token)
        if page is None:
            return self._page("pay.html", status=404, expired=True, page={}, customer={})
        if page["expires_at"] < self._site.now():
            return self._page("pay.html", status=410, expired=True, page=page, customer={})
        customer = self._site.must("customer", page["_customer_id"])
        source = self._site.store.get("payment_source", customer.get("primary_payment_source_id") or "") or {}
        invoices = actions.open_invoices(self._site, customer["id"], page.get("_currency"))
        return self._page(
            "pay.html",
            status=402 if problem else 200,
            page=page,
            customer=customer,
            card=source.get("card"),
            invoices=invoices,
            total=_total(invoices),
            test_numbers=TEST_NUMBERS.items(),
            problem=problem,
            done=done,
        )

    async def pay(self, request: web.Request) -> web.Response:
        """Pay everything that the page shows, with the card entered."""
        page = self._usable(request.match_info["token"])
        if page is None:
            return self._pay_page(request.match_info["token"])
        number = str((await request.post()).get("number", "")).replace(" ", "")
        state = TEST_NUMBERS.get(number, "ok")
        invoices = actions.open_invoices(self._site, page["_customer_id"], page.get("_currency"))
        if not invoices:
            return self._pay_page(page["id"])
        with self._site.store.writing():
            self._site.source = "hosted_page"
            if state != "ok":
                billing.charge(self._site, invoices[0], forced_code=state, initiator="customer")
            else:
                for invoice in invoices:
                    actions.pay(self._site, invoice["id"])
                self._finish(page)
                seen.note(self._site, "page", "customer paid", page["_customer_id"], {"invoices": [i["id"] for i in invoices]}, 200)
            self._site.source = "api"
        if state != "ok":
            return self._pay_page(page["id"], problem="Your bank declined the payment. Please try another card.")
        return self._pay_page(page["id"], done="Thank you. Your payment has been received.")

    async def change_card(self, request: web.Request) -> web.Response:
        page = self._usable(request.match_info["token"])
        if page is None:
            return self._pay_page(request.match_info["token"])
        number = str((await request.post()).get("number", ""))
        try:
            with self._site.store.writing():
                actions.change_card(self._site, page["_customer_id"], number)
                self._finish(page)
                seen.note(self._site, "page", "card changed", page["_customer_id"], {}, 200)
        except ApiError as error:
            return self._pay_page(page["id"], problem=str(error))
        finally:
            self._site.source = "api"
        return self._pay_page(page["id"], done="Your new card is saved.")

    def _usable(self, token: str) -> Thing | None:
        page = self._site.store.get("hosted_page", token)
        return page if page is not None and page["expires_at"] >= self._site.now() else None

    def _finish(self, page: Thing) -> None:
        self._site.save("hosted_page", page | {"state": "succeeded"})


def _when(moment: int | None) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else ""


def _total(invoices: list[Thing]) -> str:
    """What is due on all of them, per currency."""
    currencies = sorted({invoice["currency_code"] for invoice in invoices})
    sums = {currency: sum(invoice["amount_due"] for invoice in invoices if invoice["currency_code"] == currency) for currency in currencies}
    return ", ".join(shown(due, currency) for currency, due in sums.items())


def _plain(name: object) -> str:
    """A name of Chargebee's in words."""
    return str(name).replace("_", " ")
