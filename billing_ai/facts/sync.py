"""The only writer of facts (by `saving.py`): fetches what an event names, narrows it to the allow-list, and never lets older news overwrite newer.

Fetching happens outside any transaction; each save is a short one.
"""

from __future__ import annotations

import calendar
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from babel.core import get_global
from django.conf import settings

from billing_ai.facts import models
from billing_ai.facts.decline_codes import classify, network_code
from billing_ai.facts.queries import OPEN_INVOICE
from billing_ai.facts.saving import save
from billing_ai.integrations.chargebee import payment_resources, reads, resources
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal
from billing_ai.kernel.ids import keyed_hash

_MOST_TRANSACTIONS = 200
_MOST_OPEN_INVOICES = 100
_NETWORKS = {
    "american_express": "amex",
    "mastercard": "mastercard",
    "visa": "visa",
    "discover": "discover",
    "jcb": "jcb",
    "diners_club": "diners",
}
_DEBIT_BY_CURRENCY = {"USD": "ach", "EUR": "sepa", "GBP": "bacs", "INR": "nach"}


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh looked at. `gone` names resources that Chargebee no longer has."""

    customer_id: str = ""
    invoice_ids: tuple[str, ...] = ()
    gone: tuple[str, ...] = field(default=())


def refresh(customer_id: str, invoice_ids: Sequence[str]) -> Refreshed:
    """Fetch a customer with everything that decisions rest on, and the named invoices. Raises Retryable when the site is away."""
    gone: list[str] = []
    invoices: list[resources.Invoice] = []
    for invoice_id in dict.fromkeys(invoice_ids):
        try:
            invoices.append(reads.retrieve_invoice(invoice_id))
        except Terminal as error:
            if not _is_missing(error):
                raise
            gone.append(f"invoice:{invoice_id}")
    customer_id = customer_id or next((invoice.customer_id for invoice in invoices), "")
    if not customer_id:
        return Refreshed("", tuple(invoice.id for invoice in invoices), tuple(gone))
    try:
        customer = reads.retrieve_customer(customer_id)
    except Terminal as error:
        if not _is_missing(error):
            raise
        return Refreshed(customer_id, tuple(invoice.id for invoice in invoices), (*gone, f"customer:{customer_id}"))
    sources = list(reads.list_payment_sources(customer_id=customer_id))
    subscriptions = list(reads.list_subscriptions(customer_id=customer_id))
    transactions = list(itertools.islice(reads.list_transactions(customer_id=customer_id), _MOST_TRANSACTIONS))
    named = {invoice.id for invoice in invoices}
    still_open = itertools.islice(reads.list_invoices(customer_id=customer_id, status_in=OPEN_INVOICE), _MOST_OPEN_INVOICES)
    invoices.extend(invoice for invoice in still_open if invoice.id not in named)
    now = clock.now()
    by_source = {source.id: _source(source, now) for source in sources}
    save(
        [_customer(customer, now)],
        [_subscription(subscription, now) for subscription in subscriptions],
        list(by_source.values()),
        [_invoice(invoice, now) for invoice in invoices],
        [_transaction(one, by_source, now) for one in transactions],
    )
    return Refreshed(customer_id, tuple(invoice.id for invoice in invoices), tuple(gone))


def refresh_invoice(invoice_id: str) -> models.Invoice:
    """Fetch one invoice and give what is stored now. Raises Retryable, and Terminal when there is none."""
    return store_invoice(reads.retrieve_invoice(invoice_id))


def store_invoice(raw: resources.Invoice) -> models.Invoice:
    """Keep an invoice that was just fetched, and give what is stored now: this, or newer news that came first."""
    fetched = _invoice(raw, clock.now())
    columns = {column.attname: getattr(fetched, column.attname) for column in fetched._meta.concrete_fields if not column.primary_key}
    held = models.Invoice.objects.filter(pk=fetched.pk)
    if held.filter(resource_version__lte=fetched.resource_version).update(**columns):
        return fetched
    save([fetched])
    return held.get()


def mark_deleted(customer_id: str) -> None:
    """A customer that Chargebee no longer has: nothing may be sent to them any more."""
    row = models.Customer.objects.filter(pk=customer_id).first()
    if row is not None and not row.is_deleted:
        row.is_deleted, row.fetched_at = True, clock.now()
        row.save(update_fields=["is_deleted", "fetched_at"])


def _is_missing(error: Terminal) -> bool:
    return error.code.endswith("resource_not_found") or error.code.endswith("not_found")


def _customer(raw: resources.Customer, now: datetime) -> models.Customer:
    custom = raw.custom_fields
    return models.Customer(
        chargebee_customer_id=raw.id,
        locale=raw.locale[:35],
        country=raw.country[:2],
        time_zone=_only_zone(raw.country, _text(custom, "cf_timezone")),
        has_email="@" in raw.email,
        has_phone=bool(raw.phone),
        phone_country="",
        is_company=bool(raw.company),
        auto_collection=raw.is_auto_collected,
        net_term_days=raw.net_term_days,
        tier=_text(custom, "cf_tier")[:40],
        tags=[tag.strip() for tag in _text(custom, "cf_tags").split(",") if tag.strip()][:20],
        email_consent=_consent(custom, "cf_email_consent"),
        sms_consent=_consent(custom, "cf_sms_consent"),
        business_entity_id=raw.business_entity_id,
        customer_since=raw.created_at,
        primary_payment_source_id=raw.primary_payment_source_id,
        resource_version=raw.version or 0,
        is_deleted=raw.is_deleted,
        fetched_at=now,
    )


def _subscription(raw: resources.Subscription, now: datetime) -> models.Subscription:
    return models.Subscription(
        chargebee_subscription_id=raw.id,
        chargebee_customer_id=raw.customer_id,
        status=raw.status,
        item_price_ids=[item.item_price_id for item in raw.items],
        currency=raw.currency,
        mrr_minor=raw.mrr_minor,
        seats=sum(item.quantity for item in raw.items if item.item_type == "plan") or None,
        has_discount=bool(raw.coupon_ids),
        discount_ends_at=raw.discount_ends_at,
        started_at=raw.started_at or raw.created_at,
        current_term_end_at=raw.current_term_end,
        cancel_scheduled_at=raw.cancelled_at if raw.status == "non_renewing" else None,
        cancelled_at=raw.cancelled_at if raw.status == "cancelled" else None,
        pause_at=raw.pause_date,
        resume_at=raw.resume_date,
        resource_version=raw.version or 0,
        is_deleted=raw.is_deleted,
        fetched_at=now,
    )


def _invoice(raw: resources.Invoice, now: datetime) -> models.Invoice:
    issued_on = clock.utc_date(raw.issued_at) if raw.issued_at else clock.utc_date(now)
    return models.Invoice(
        chargebee_invoice_id=raw.id,
        chargebee_customer_id=raw.customer_id,
        subscription_ids=list(raw.subscription_ids),
        status=raw.status,
        currency=raw.currency,
        total_minor=raw.total_minor,
        amount_due_minor=raw.amount_due_minor,
        amount_paid_minor=raw.amount_paid_minor,
        issued_on=issued_on,
        due_on=clock.utc_date(raw.due_at) if raw.due_at else issued_on,
        paid_at=raw.paid_at,
        dunning_status=raw.dunning_status,
        dunning_attempts=len(raw.dunning_attempts),
        next_native_retry_at=raw.next_retry_at,
        resource_version=raw.version or 0,
        is_deleted=raw.is_deleted,
        fetched_at=now,
    )


def _source(raw: payment_resources.PaymentSource, now: datetime) -> models.PaymentSource:
    expires_on = None
    if raw.expiry_year and 1 <= raw.expiry_month <= 12:
        expires_on = date(raw.expiry_year, raw.expiry_month, calendar.monthrange(raw.expiry_year, raw.expiry_month)[1])
    # The same card keeps its mark when it is taken off and put on again under another id.
    identity = f"{raw.card_brand}|{raw.card_last4}|{raw.expiry_month}/{raw.expiry_year}" if raw.card_last4 else raw.id
    return models.PaymentSource(
        chargebee_payment_source_id=raw.id,
        chargebee_customer_id=raw.customer_id,
        kind=raw.type,
        status=raw.status,
        network=_NETWORKS.get(raw.card_brand, ""),
        funding=raw.card_funding,
        expires_on=expires_on,
        issuing_country=raw.issuing_country[:2],
        instrument_hash=keyed_hash(settings.MASTER_KEY, f"instrument|{raw.customer_id}|{identity}"),
        resource_version=raw.version or 0,
        is_deleted=raw.is_deleted,
        fetched_at=now,
    )


def _transaction(raw: payment_resources.Transaction, sources: dict[str, models.PaymentSource], now: datetime) -> models.Transaction:
    source = sources.get(raw.payment_source_id)
    failed = raw.status == "failure"
    code = raw.decline_code or raw.error_code
    decline = classify(raw.gateway, code, raw.payment_method) if failed else None
    if decline is not None and decline.category == "unknown" and raw.error_code and raw.error_code != code:
        code, decline = raw.error_code, classify(raw.gateway, raw.error_code, raw.payment_method)
    network = source.network if source is not None else ""
    if not network and raw.payment_method in ("direct_debit", "ach_credit", "sepa_credit"):
        network = _DEBIT_BY_CURRENCY.get(raw.currency, "")
    return models.Transaction(
        chargebee_transaction_id=raw.id,
        chargebee_customer_id=raw.customer_id,
        invoice_ids=list(raw.invoice_ids),
        kind=raw.type,
        status=raw.status,
        amount_minor=raw.amount_minor,
        currency=raw.currency,
        happened_at=raw.at or now,
        gateway=raw.gateway,
        gateway_account_id=raw.gateway_account_id,
        payment_method=raw.payment_method,
        initiator=raw.initiator_type,
        decline_code=code[:100] if failed else "",
        network_code=(raw.network_code or network_code(raw.gateway, code))[:10] if failed else "",
        advice_code=raw.advice_code[:10] if failed else "",
        decline_category=decline.category if decline else "",
        payment_source_id=raw.payment_source_id,
        instrument_hash=source.instrument_hash
        if source
        else keyed_hash(settings.MASTER_KEY, f"instrument|{raw.customer_id}|{raw.payment_source_id}"),
        network=network,
        resource_version=raw.version or 0,
        is_deleted=raw.is_deleted,
        fetched_at=now,
    )


def _text(custom: Any, name: str) -> str:
    value = custom.get(name)
    return value if isinstance(value, str) else ""


def _consent(custom: Any, name: str) -> str:
    """`yes` or `no`; whatever else the site keeps there is nobody's consent."""
    value = custom.get(name)
    if isinstance(value, bool):
        return "yes" if value else "no"
    word = value.strip().lower() if isinstance(value, str) else ""
    return {"yes": "yes", "true": "yes", "no": "no", "false": "no"}.get(word, "")


def _only_zone(country: str, named: str) -> str:
    """The zone that the site names, or the country's only one; empty when there are several and nobody says which."""
    territories: Mapping[str, str] = get_global("zone_territories")
    if named in territories:
        return named
    zones = [zone for zone, territory in territories.items() if territory == country]
    return zones[0] if len(zones) == 1 else ""


def ids_of(refs: Iterable[dict[str, Any]], kind: str) -> tuple[str, ...]:
    """The ids of one kind among an event's resources."""
    return tuple(str(ref["id"]) for ref in refs if ref.get("kind") == kind)
