"""Why a charge fails: the card's hidden state, and the code its gateway gives for it."""

from __future__ import annotations

import csv
import datetime
import functools
from dataclasses import dataclass
from pathlib import Path

from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

DAY = 86_400
PAYDAY_WINDOW_DAYS = 4
_CATEGORY = {
    "insufficient_funds": "insufficient_funds", "expired": "expired_card", "lost": "lost_stolen", "fraud": "fraud",
    "auth_required": "auth_required", "processor_error": "processor_error", "do_not_honor": "do_not_honor",
    "mandate": "mandate", "limit": "limit_exceeded", "closed": "closed_account",
}  # fmt: skip
_PREFERRED = {
    ("stripe", "lost_stolen"): "lost_card", ("stripe", "fraud"): "fraudulent", ("stripe", "auth_required"): "authentication_required",
    ("stripe", "processor_error"): "processing_error", ("stripe", "do_not_honor"): "do_not_honor", ("adyen", "fraud"): "20",
    ("stripe", "limit_exceeded"): "card_velocity_exceeded", ("braintree", "do_not_honor"): "2000",
    ("braintree", "processor_error"): "3000", ("gocardless", "mandate"): "mandate_cancelled",
}  # fmt: skip
_NEAREST = {
    "lost_stolen": ("lost_stolen", "restricted_card", "invalid_card"),
    "fraud": ("fraud", "lost_stolen", "do_not_honor"),
    "auth_required": ("auth_required", "revocation", "do_not_honor"),
    "expired_card": ("expired_card", "invalid_card", "closed_account"),
    "mandate": ("mandate", "revocation", "closed_account"),
    "processor_error": ("processor_error", "do_not_honor", "insufficient_funds"),
    "do_not_honor": ("do_not_honor", "insufficient_funds"),
    "limit_exceeded": ("limit_exceeded", "insufficient_funds"),
    "closed_account": ("closed_account", "invalid_card"),
}
GATEWAY_NAMES = {"checkout_com": "checkout_com"}


@dataclass(frozen=True)
class Decline:
    """A gateway's refusal, as the transaction will carry it."""

    code: str
    text: str
    category: str


@functools.cache
def _codes() -> dict[tuple[str, str], list[tuple[str, str]]]:
    """(gateway, category) → codes with their meaning. Source: decline_codes.csv beside this file."""
    table: dict[tuple[str, str], list[tuple[str, str]]] = {}
    with (Path(__file__).parent / "decline_codes.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            table.setdefault((row["gateway"], row["category"]), []).append((row["code"], row["meaning"]))
    return table


def decline_for(gateway: str, state: str, pick: int = 0) -> Decline:
    """The code that this gateway gives for a card state (`lost`, `expired`, …)."""
    category = _CATEGORY.get(state, state)
    for nearest in _NEAREST.get(category, (category,)):
        found = _codes().get((gateway, nearest))
        if found:
            preferred = _PREFERRED.get((gateway, nearest))
            chosen = next((row for row in found if row[0] == preferred), found[pick % len(found)])
            return Decline(chosen[0], chosen[1], nearest)
    return Decline("do_not_honor", "The bank declined the payment without giving a reason.", "do_not_honor")


def decline_named(gateway: str, code: str) -> Decline:
    """A decline by the gateway's own code, or by a card state or category; unknown codes are passed on as they are."""
    for (owner, category), rows in _codes().items():
        for known, meaning in rows:
            if known == code and owner == gateway:
                return Decline(known, meaning, category)
    if code in _CATEGORY or code in _CATEGORY.values():
        return decline_for(gateway, code)
    return Decline(code, f"Declined with code {code}", "unknown")


def judge(site: Site, source: Thing | None, truth: Thing | None, invoice_id: str, attempt: int, now: int) -> Decline | None:
    """Would the bank decline this charge now? None when the money comes."""
    if source is None or source.get("deleted"):
        return Decline("no_payment_method", "There is no valid payment method for the customer.", "no_payment_method")
    gateway = source["gateway"]
    state = (truth or {}).get("state", "ok")
    outage = site.store.setting(f"gateway_outage:{gateway}", 0)
    if outage > now:
        return decline_for(gateway, "processor_error")
    card = source.get("card")
    if card and _is_expired(card, now):
        return decline_for(gateway, "expired")
    coin = site.coin("attempt", source["id"], invoice_id, attempt)
    match state:
        case "ok":
            return None
        case "insufficient_funds":
            return None if _has_funds(truth or {}, now) else decline_for(gateway, state)
        case "processor_error":
            return decline_for(gateway, state) if now < (truth or {}).get("until", 0) or coin.random() < 0.15 else None
        case "do_not_honor":
            return decline_for(gateway, state, coin.randrange(3)) if coin.random() > (truth or {}).get("luck", 0.35) else None
        case "limit":
            return decline_for(gateway, state) if datetime.datetime.fromtimestamp(now, datetime.UTC).day > 3 else None
        case _:
            return decline_for(gateway, state)


def _has_funds(truth: Thing, now: int) -> bool:
    today = datetime.datetime.fromtimestamp(now, datetime.UTC)
    for days_ago in range(PAYDAY_WINDOW_DAYS):
        day = today - datetime.timedelta(days=days_ago)
        if day.day in truth.get("paydays", ()):
            return True
    return bool(truth.get("funded_until", 0) > now)


def _is_expired(card: Thing, now: int) -> bool:
    today = datetime.datetime.fromtimestamp(now, datetime.UTC)
    return (card["expiry_year"], card["expiry_month"]) < (today.year, today.month)
