"""What the outside world saw, read from the simulator over its own addresses and brought into the checker's form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.flows.month.checker import Call, Message, Payment, Place, Seen
from tests.simulator.running import RunningSimulator

ALL = 1_000_000
_ZONES = {
    "US": ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Anchorage", "Pacific/Honolulu"),
    "CA": ("America/St_Johns", "America/Toronto", "America/Winnipeg", "America/Edmonton", "America/Vancouver"),
    "AU": ("Australia/Sydney", "Australia/Brisbane", "Australia/Adelaide", "Australia/Darwin", "Australia/Perth"),
    "BR": ("America/Noronha", "America/Sao_Paulo", "America/Manaus", "America/Rio_Branco"),
    "MX": ("America/Cancun", "America/Mexico_City", "America/Hermosillo", "America/Tijuana"),
}
"""Where a customer may be whose own zone is not written down, in the countries that have several."""
_RAILS = {"USD": "ach", "EUR": "sepa", "GBP": "bacs", "INR": "nach"}


def look(site: RunningSimulator, since: datetime) -> Seen:
    """Everything since a moment."""
    seen = Seen()
    by_phone: dict[str, str] = {}
    by_mail: dict[str, str] = {}
    for customer in site.get("/control/customers", limit=ALL)["customers"]:
        country = customer["billing_address"]["country"]
        zone = customer.get("cf_timezone")
        seen.places[customer["id"]] = Place(country, (zone,) if zone else _ZONES.get(country, ()))
        by_mail[customer["email"].lower()] = customer["id"]
        by_phone[customer.get("phone", "")] = customer["id"]
        seen.numbers[customer["id"]] = customer.get("phone", "")
    for mail in site.get("/control/mail", limit=ALL)["mail"]:
        words = f"{mail['subject']} {mail['text']}"
        seen.messages.append(Message(_at(mail["at"]), "email", by_mail[mail["to"]], _plain(words)))
    for text in site.get("/control/sms", limit=ALL)["sms"]:
        if text["direction"] == "outbound-api":
            seen.messages.append(Message(_at(text["at"]), "sms", by_phone[text["to"]], _plain(text["body"])))
    for call in site.get("/control/calls", channel="api", limit=ALL)["calls"]:
        group, _, what = call["what"].partition(".")
        if group == "invoice":
            seen.calls.append(Call(_at(call["at"]), what, call["subject"].split("/")[0]))
    cards = {source.id: source for source in _all(site, "PaymentSource", "payment_source")}
    for invoice in _all(site, "Invoice", "invoice"):
        seen.owner[invoice.id] = invoice.customer_id
    for payment in _all(site, "Transaction", "transaction"):
        if payment.type == "payment" and payment.linked_invoices:
            seen.payments.append(_payment(payment, cards.get(payment.payment_source_id)))
    seen.messages = sorted((one for one in seen.messages if one.at >= since), key=lambda one: one.at)
    seen.calls = [one for one in seen.calls if one.at >= since]
    seen.payments.sort(key=lambda one: one.at)
    return seen


def _payment(payment: Any, source: Any) -> Payment:
    card = source.card if source is not None else None
    if card is not None:
        instrument = f"{card.brand}|{card.last4}|{card.expiry_month}/{card.expiry_year}|{payment.customer_id}"
        network = str(card.brand)
    else:
        instrument, network = str(payment.payment_source_id), _RAILS.get(payment.currency_code, "")
    detail = payment.error_detail
    return Payment(
        at=_at(payment.date),
        customer=payment.customer_id,
        invoice=payment.linked_invoices[0].invoice_id,
        card=instrument,
        account=payment.gateway_account_id or "",
        network=network,
        amount=payment.amount,
        currency=payment.currency_code,
        succeeded=str(payment.status) == "success",
        category=_field(detail, "error_category"),
        network_code=_field(detail, "network_error_code"),
        advice=_field(detail, "processor_advice_code"),
    )


def _field(detail: Any, name: str) -> str:
    return str(getattr(detail, name, None) or "") if detail is not None else ""


def _all(site: RunningSimulator, resource: str, name: str) -> list[Any]:
    found: list[Any] = []
    offset: str | None = None
    while True:
        page = getattr(site.client(), resource).list({"limit": 100} | ({"offset": offset} if offset else {}))
        found += [getattr(entry, name) for entry in page.list]
        offset = page.next_offset
        if not offset:
            return found


def _plain(words: str) -> str:
    """Only words and numbers, so that an invoice's number can be found between full stops and brackets."""
    return " ".join("".join(sign if sign.isalnum() or sign in "_-" else " " for sign in words).split())


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
