"""A world from a seed and a size: customers, cards with hidden states, subscriptions, and their past."""

from __future__ import annotations

import datetime
import random
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing_ai.simulator.calendar_steps import add_period
from billing_ai.simulator.cards import EXPIRY, REMINDED_SECONDS_BEFORE, card_source, expires_at, mandate_source, payment_method
from billing_ai.simulator.ids import make_id
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing
from billing_ai.simulator.world import catalogue
from billing_ai.simulator.world.countries import COMPANY_TRADES, COMPANY_WORDS, COUNTRIES, ORDER, Country
from billing_ai.simulator.world.history import Past

DAY = 86_400
GATEWAYS = ("stripe", "stripe", "adyen", "braintree", "checkout_com")
# What the banks will say; the first twelve customers' cards fail overnight, for every kind of reason.
FAILING_STATES = (
    "insufficient_funds", "expired", "do_not_honor", "auth_required", "insufficient_funds", "processor_error",
    "lost", "insufficient_funds", "fraud", "mandate", "expired", "do_not_honor",
)  # fmt: skip
LATER_STATES = (
    ("ok", 70),
    ("insufficient_funds", 12),
    ("do_not_honor", 6),
    ("expired", 4),
    ("auth_required", 3),
    ("processor_error", 2),
    ("lost", 2),
    ("limit", 1),
)
PAYDAYS = {"US": [1, 15], "GB": [28], "JP": [25], "BR": [5, 20], "DE": [1, 15], "SE": [25], "IN": [1], "NL": [24]}


@dataclass
class Plan:
    """What one customer will be, decided before anything is written."""

    number: int
    country: Country
    state: str
    gateway: str
    fails_overnight: bool
    months: int


def make_world(site: Site, countries: Mapping[str, int] | None = None) -> None:
    """Fill an empty site. The same seed and size give the same world. `countries` weighs where customers are from; without it
    they are from all over."""
    options = site.options
    now = site.now()
    with site.store.writing():
        site.store.set_setting("seed", options.seed)
        site.store.set_setting("made_at", now)
        catalogue.build(site, now - 900 * DAY)
        for ident, name in ENTITIES.items():
            entity = {"id": ident, "name": name, "status": "active", "created_at": now - 900 * DAY, "object": "business_entity"}
            site.store.put("business_entity", entity)
        makers = _Makers(site, now, countries or {})
        for number in range(options.customers):
            makers.make(number)
        makers.flush()


ENTITIES = {"be_main": "Northwind Cloud", "be_cloud": "Northwind Services"}
"""The companies that bill on this one site; every ninth customer is the second one's."""


class _Makers:
    """Makes customers one by one and writes them in batches."""

    def __init__(self, site: Site, now: int, countries: Mapping[str, int]) -> None:
        self._countries = (list(countries), list(countries.values())) if countries else None
        self._site = site
        self._now = now
        self._batch: dict[str, list[Thing]] = {}
        self._due: list[tuple[int, str, str]] = []
        self._past = Past(site, now)
        self._made = 0

    def make(self, number: int) -> None:
        chance = self._site.coin("customer", number)
        plan = self._plan(number, chance)
        customer = self._customer(plan, chance)
        source = self._source(plan, customer, chance)
        if source is not None:
            customer["primary_payment_source_id"] = source["id"]
            customer["card_status"] = ("expired" if source["status"] == "expired" else "valid") if source.get("card") else "no_card"
            customer["payment_method"] = payment_method(source)
            self._keep("payment_source", source)
            if source.get("card") and source["status"] == "valid":
                self._due.append((max(self._now + 60, expires_at(source["card"]) - REMINDED_SECONDS_BEFORE), EXPIRY, source["id"]))
            self._keep("truth", self._truth(plan, source, chance))
        self._keep("customer", customer)
        for subscription in self._past.subscriptions(plan, customer, chance):
            for kind, thing in self._past.life(plan, customer, subscription, source, chance):
                self._keep(kind, thing)
            for kind, thing in self._past.extras(plan, subscription, chance):
                self._keep(kind, thing)
            self._keep("subscription", subscription)
        self._due += self._past.take_due()
        if number % 2_000 == 1_999:
            self.flush()
        self._made = number + 1

    def flush(self) -> None:
        for kind, things in self._batch.items():
            self._site.store.put_many(kind, things)
        self._batch = {}
        for at, what, ref in self._due:
            self._site.store.schedule(at, what, ref)
        self._due = []
        for kind in ("customer", "payment_source"):
            self._site.store.set_setting(f"count:{kind}", self._made)
        self._past.save_counters()

    def _keep(self, kind: str, thing: Thing) -> None:
        if kind != "truth":
            thing.setdefault("updated_at", self._now)
            thing.setdefault("resource_version", thing["updated_at"] * 1000 + 1)
        self._batch.setdefault(kind, []).append(thing)

    def _plan(self, number: int, chance: random.Random) -> Plan:
        options = self._site.options
        country = COUNTRIES[chance.choices(*self._countries)[0] if self._countries else ORDER[number % len(ORDER)]]
        fails = number < options.fresh_failures
        state = (
            FAILING_STATES[number % len(FAILING_STATES)]
            if fails
            else chance.choices([s for s, _ in LATER_STATES], [w for _, w in LATER_STATES])[0]
        )
        if state == "mandate" and country.currency not in ("EUR", "GBP"):
            country = COUNTRIES["GB"]
        gateway = "gocardless" if state == "mandate" else chance.choice(GATEWAYS)
        if state in ("expired", "auth_required", "fraud") and gateway == "checkout_com":
            gateway = "stripe"
        return Plan(number, country, state, gateway, fails, options.history_months or _months(options.customers, chance))

    def _customer(self, plan: Plan, chance: random.Random) -> Thing:
        country, number = plan.country, plan.number
        first, last = chance.choice(country.first_names), chance.choice(country.last_names)
        word = COMPANY_WORDS[number % len(COMPANY_WORDS)]
        trade = COMPANY_TRADES[(number * 7 + number // len(COMPANY_WORDS)) % len(COMPANY_TRADES)]
        form = chance.choice(country.company_forms)
        company = f"{form}{word}{trade}" if country.code == "JP" else f"{word} {trade} {form}"
        suffix = "" if number < len(COMPANY_WORDS) else str(number)
        mailbox = "billing" if country.code == "JP" else _ascii(first)
        email = f"{mailbox}@{_ascii(word)}{suffix}.example"
        phone = "".join(str(chance.randrange(10)) if c == "#" else c for c in country.phone)
        address = {
            "first_name": first, "last_name": last, "company": company, "line1": f"{chance.randint(1, 240)} Example Street", "city": country.city,
            "zip": f"{chance.randint(10_000, 99_999)}", "country": country.code, "validation_status": "not_validated", "object": "billing_address",
        }  # fmt: skip
        created = add_period(self._now, -plan.months - 1, "month") - chance.randrange(20) * DAY
        return {
            "id": make_id(self._site.seed, "customer", number + 1),
            "first_name": first, "last_name": last, "email": email, "phone": phone, "company": company,
            "auto_collection": "on", "net_term_days": 0, "allow_direct_debit": plan.state == "mandate", "created_at": created, "updated_at": self._now - chance.randrange(60) * DAY,
            "taxability": "taxable", "locale": country.locale if country.locale != "en" else "en", "channel": "web", "pii_cleared": "active",
            "card_status": "no_card", "promotional_credits": 0, "refundable_credits": 0, "excess_payments": 0, "unbilled_charges": 0,
            "preferred_currency_code": country.currency, "billing_address": address, "deleted": False, "object": "customer",
            "consolidated_invoicing": number % 17 == 5, "business_entity_id": "be_cloud" if number % 9 == 4 else "be_main",
            "cf_timezone": country.timezone, "cf_sms_consent": "true" if chance.random() < 0.7 else "false",
            "meta_data": {"segment": chance.choice(("smb", "smb", "mid_market", "enterprise"))},
            "_tax_rate": country.tax_rate if chance.random() < 0.6 else 0,
        }  # fmt: skip

    def _source(self, plan: Plan, customer: Thing, chance: random.Random) -> Thing | None:
        ident = make_id(self._site.seed, "payment_source", plan.number + 1)
        last4 = f"{chance.randrange(10_000):04d}"
        created = customer["created_at"]
        if plan.state == "mandate":
            return mandate_source(ident=ident, customer=customer, last4=last4, now=created)
        year, month = _year_month(add_period(self._now, -1 if plan.state == "expired" else chance.choice((1, *range(3, 40))), "month"))
        iin = chance.choice(("424242", "411111", "400012", "555555", "520082", "378282" if plan.country.code == "US" else "545454"))
        source = card_source(
            ident=ident, customer=customer, gateway=plan.gateway, iin=iin, last4=last4, expiry=(month, year), now=created, chance=chance
        )
        source["status"] = "expired" if plan.state == "expired" else "valid"
        return source

    def _truth(self, plan: Plan, source: Thing, chance: random.Random) -> Thing:
        paydays = PAYDAYS.get(plan.country.code, [1, 15])
        truth: dict[str, Any] = {"id": source["id"], "customer_id": source["customer_id"], "state": plan.state, "paydays": paydays}
        if plan.state == "do_not_honor":
            truth["luck"] = round(chance.uniform(0.2, 0.6), 2)
        if plan.state == "processor_error":
            truth["until"] = self._now + chance.randint(2, 30) * 3_600
        if plan.state == "expired":
            truth["state"] = "ok"  # only the date is wrong; a new card pays
        return truth


def _months(customers: int, chance: random.Random) -> int:
    """How far back a customer's history goes: far in a small world, where people look; hardly in a large one, which has to start."""
    if customers <= 200:
        return chance.randint(3, 24)
    return chance.randint(2, 6) if customers <= 2_000 else 1


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "".join(c for c in plain if c.isalnum()) or "customer"


def _year_month(moment: int) -> tuple[int, int]:
    at = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    return at.year, at.month
