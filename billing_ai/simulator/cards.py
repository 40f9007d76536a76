"""Cards and mandates: what the site shows of them, and the hidden truth of what the bank will say."""

from __future__ import annotations

import datetime
import random
from typing import Any

from billing_ai.simulator.errors import wrong_value
from billing_ai.simulator.events import card_shape, emit
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

# Test numbers that decide the hidden state of a card entered on a page or through the API, as gateways' sandboxes have.
TEST_NUMBERS = {
    "4242424242424242": "ok",
    "5555555555554444": "ok",
    "4000000000009995": "insufficient_funds",
    "4000000000000002": "do_not_honor",
    "4000000000009987": "lost",
    "4000000000003220": "auth_required",
    "4100000000000019": "fraud",
    "4000000000000119": "processor_error",
}
EXPIRY = "card_expiry"
REMINDED_SECONDS_BEFORE = 30 * 86_400
_BRANDS = {"4": "visa", "5": "mastercard", "3": "american_express", "6": "discover"}


def add_card(
    site: Site,
    customer: Thing,
    *,
    number: str,
    expiry: tuple[int | None, int | None],
    first_name: str | None = None,
    last_name: str | None = None,
) -> Thing:
    """Store a new card; its number is looked at for the hidden state and then forgotten, but for the first six and last four."""
    digits = number.replace(" ", "").replace("-", "")
    if not digits.isdigit() or not 12 <= len(digits) <= 19:
        raise wrong_value("card[number]", "is not a valid card number")
    today = datetime.datetime.fromtimestamp(site.now(), datetime.UTC)
    month, year = expiry[0] or 12, expiry[1] or today.year + 3
    if not 1 <= month <= 12:
        raise wrong_value("card[expiry_month]", "should be between 1 and 12")
    if (year, month) < (today.year, today.month):
        raise wrong_value("card[expiry_year]", "the card has expired")
    source = card_source(
        ident=site.new_id("payment_source"),
        customer=customer,
        gateway=_gateway(site, customer),
        iin=digits[:6],
        last4=digits[-4:],
        expiry=(month, year),
        now=site.now(),
    )
    source["card"] |= {"first_name": first_name or customer.get("first_name"), "last_name": last_name or customer.get("last_name")}
    site.save("payment_source", source)
    site.store.put(
        "truth", {"id": source["id"], "customer_id": customer["id"], "state": TEST_NUMBERS.get(digits, "ok"), "paydays": [1, 15]}
    )
    site.store.schedule(expires_at(source["card"]) - REMINDED_SECONDS_BEFORE, EXPIRY, source["id"])
    emit(site, "payment_source_added", customer=customer, payment_source=source)
    emit(site, "card_added", customer=customer, card=card_shape(source))
    return source


def set_primary(site: Site, customer: Thing, source: Thing) -> None:
    """Charge this source from now on."""
    customer["primary_payment_source_id"] = source["id"]
    customer["card_status"] = "valid" if source.get("card") else "no_card"
    customer["payment_method"] = payment_method(source)
    site.save("customer", customer)
    emit(site, "customer_changed", customer=customer)


def expires_at(card: Thing) -> int:
    """The first moment at which the card is no longer valid: the start of the month after the one printed on it."""
    year, month = card["expiry_year"] + card["expiry_month"] // 12, card["expiry_month"] % 12 + 1
    return int(datetime.datetime(year, month, 1, tzinfo=datetime.UTC).timestamp())


def expiry_due(site: Site, source_id: str) -> None:
    """A month before a card expires Chargebee says so, and again when it has."""
    source = site.store.get("payment_source", source_id)
    if source is None or source.get("deleted") or not source.get("card"):
        return
    site.source = "scheduled_job"
    customer = site.must("customer", source["customer_id"])
    ends = expires_at(source["card"])
    has_ended = site.now() >= ends
    source["status"] = "expired" if has_ended else "expiring"
    site.save("payment_source", source)
    if customer.get("primary_payment_source_id") == source_id:
        customer["card_status"] = source["status"]
        site.save("customer", customer)
    if not has_ended:
        site.store.schedule(ends, EXPIRY, source_id)
    card = card_shape(source)
    emit(site, "card_expired" if has_ended else "card_expiry_reminder", customer=customer, card=card)
    emit(site, "payment_source_expired" if has_ended else "payment_source_expiring", customer=customer, payment_source=source)


def payment_method(source: Thing) -> dict[str, Any]:
    return {
        "type": source["type"],
        "reference_id": source["reference_id"],
        "gateway": source["gateway"],
        "gateway_account_id": source["gateway_account_id"],
        "status": source["status"],
        "object": "payment_method",
    }


def card_source(
    *,
    ident: str,
    customer: Thing,
    gateway: str,
    iin: str,
    last4: str,
    expiry: tuple[int, int],
    now: int,
    chance: random.Random | None = None,
) -> Thing:
    """A card as a payment source."""
    chance = chance or random.Random(ident)
    today = datetime.datetime.fromtimestamp(now, datetime.UTC)
    country = (customer.get("billing_address") or {}).get("country")
    return {
        "id": ident,
        "customer_id": customer["id"],
        "type": "card",
        "reference_id": f"tok_{ident[3:]}/{chance.randrange(10**8):08d}",
        "status": "expired" if (expiry[1], expiry[0]) < (today.year, today.month) else "valid",
        "gateway": gateway,
        "gateway_account_id": f"gw_{gateway}",
        "issuing_country": country,
        "created_at": now,
        "deleted": False,
        "object": "payment_source",
        "card": {
            "first_name": customer.get("first_name"),
            "last_name": customer.get("last_name"),
            "iin": iin,
            "last4": last4,
            "brand": _BRANDS.get(iin[0], "other"),
            "funding_type": chance.choice(("credit", "debit", "debit")),
            "expiry_month": expiry[0],
            "expiry_year": expiry[1],
            "billing_country": country,
            "masked_number": "************" + last4,
            "object": "card",
        },
    }


def mandate_source(*, ident: str, customer: Thing, last4: str, now: int) -> Thing:
    """A direct debit mandate at GoCardless."""
    country = (customer.get("billing_address") or {}).get("country")
    return {
        "id": ident,
        "customer_id": customer["id"],
        "type": "direct_debit",
        "reference_id": f"CU{ident[3:]}/MD{ident[3:]}",
        "status": "valid",
        "gateway": "gocardless",
        "gateway_account_id": "gw_gocardless",
        "issuing_country": country,
        "created_at": now,
        "deleted": False,
        "object": "payment_source",
        "bank_account": {
            "last4": last4,
            "first_name": customer.get("first_name"),
            "last_name": customer.get("last_name"),
            "direct_debit_scheme": "bacs" if country == "GB" else "sepa_core",
            "bank_name": "Example Bank",
            "mandate_id": f"MD{ident[3:]}",
            "account_type": "checking",
            "object": "bank_account",
        },
    }


def _gateway(site: Site, customer: Thing) -> str:
    current = site.store.get("payment_source", customer.get("primary_payment_source_id") or "")
    return "stripe" if current is None or current["gateway"] == "gocardless" else str(current["gateway"])
