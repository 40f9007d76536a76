"""What the rules need to know of one customer and invoice, read in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import CharField, DateTimeField, Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Coalesce, JSONObject

from approvals.models import Case, CollectionAttempt, Consent, Contact, Execution, Promise, RetryReservation, Suppression
from approvals.policy.contact_rules import NOT_COUNTED, ContactFacts, Said, Suppressed, Word
from approvals.policy.limits import Counts
from approvals.policy.quiet_hours import possible_zones
from approvals.policy.retry_rules import Attempt
from billing_ai.facts.models import Customer, PaymentSource
from billing_ai.tables.one_statement import Kept

LOOK_BACK = timedelta(days=181)
"""The longest window there is (180 days for ACH), and a day."""
OURS = "ours"
ASKED = ("customer", "held", "events", "attempts", "slots")
"""The names of `questions`."""
_NEVER = ("no", "after_update")
_BANK_RAILS = {"USD": "ach", "EUR": "sepa", "GBP": "bacs", "INR": "nach"}
"""The rail of a bank debit, by the currency it is collected in."""
_BANK_KINDS = ("direct_debit", "bank_account", "ach_credit", "sepa_credit", "ach", "sepa", "bacs")


@dataclass(frozen=True, slots=True)
class Source:
    """The payment source that would be charged, by its keyed hash."""

    instrument_hash: str
    network: str
    kind: str
    status: str
    issuing_country: str
    expires_on: date | None

    def network_for(self, currency: str) -> str:
        """The card network, or the rail of a bank debit; empty when neither is known."""
        return self.network or (_BANK_RAILS.get(currency, "") if self.kind in _BANK_KINDS else "")

    def is_usable(self, now: datetime) -> bool:
        """Neither expired nor withdrawn."""
        return self.status in ("", "valid", "expiring") and (self.expires_on is None or self.expires_on >= now.astimezone(UTC).date())


@dataclass(frozen=True, slots=True)
class View:
    """One customer, as the rules see them."""

    contact: ContactFacts
    tags: tuple[str, ...] = ()
    country: str = ""
    source: Source | None = None
    attempts: tuple[Attempt, ...] = ()
    attempts_by_us: int = 0
    """Collection attempts of ours on the invoice."""
    invoice_id: str = ""

    def messages_on_invoice(self) -> int:
        """Messages of ours about the invoice."""
        return (
            sum(1 for one in self.contact.said if one.invoice_id == self.invoice_id and one.kind not in NOT_COUNTED)
            if self.invoice_id
            else 0
        )

    def counts(self, used_today: Mapping[str, int]) -> Counts:
        """The figures that the limits compare."""
        return Counts(self.attempts_by_us, self.messages_on_invoice(), used_today)

    def told_at(self) -> datetime | None:
        """When the customer last heard from us about this invoice."""
        return max((one.at for one in self.contact.said if one.invoice_id == self.invoice_id and one.channel != "call"), default=None)

    def zone(self) -> ZoneInfo:
        """A zone to write times in: the customer's, or UTC when it is not known."""
        zones = possible_zones(self.contact.time_zone, self.contact.country)
        return zones[0] if len(zones) == 1 else ZoneInfo("UTC")


def load(
    customer_id: str, invoice_id: str, *, now: datetime, collects: bool = False, proposal_id: str = "", address_hash: str = ""
) -> View:
    """Read it. `proposal_id` leaves that proposal's own effect and slot out of what is counted."""
    found = _KEPT.ask(
        customer_id=customer_id,
        since=since(now),
        proposal_id=UUID(proposal_id) if proposal_id else None,
        address_hash=address_hash,
        collects=collects,
    )
    return answered(invoice_id, found, collects=collects)


def since(now: datetime) -> datetime:
    """The first moment that counts."""
    return now - LOOK_BACK


def questions(customer_id: str, since: datetime) -> dict[str, QuerySet[Any, Any]]:
    """What `load` asks for a proposal that is still to be decided, as queries to be answered together; `answered` makes the view of it."""
    return _questions(customer_id, since, None, "", collects=True)


def _questions(
    customer_id: str, since: datetime, proposal_id: UUID | None, address_hash: str, *, collects: bool
) -> dict[str, QuerySet[Any, Any]]:
    asked = {
        "customer": _customer(customer_id),
        "held": _held(customer_id),
        "events": _events(customer_id, since, proposal_id, address_hash),
    }
    if not collects:
        return asked
    whose = PaymentSource.objects.filter(
        pk__in=Customer.objects.filter(pk=customer_id).values("primary_payment_source_id"), is_deleted=False
    )
    instrument = Subquery(whose.exclude(instrument_hash="").values("instrument_hash")[:1])
    return {**asked, "attempts": _attempts(instrument, since), "slots": _slots(instrument, since, proposal_id)}


_KEPT = Kept(_questions)


def answered(invoice_id: str, found: Mapping[str, list[Any]], *, collects: bool) -> View:
    """The view from the answers to `questions`; without `collects` as if the ledger of retries had not been asked."""
    row = found["customer"][0] if found["customer"] else None
    source = _source(row["source"]) if row is not None and collects else None
    if source is None:
        return _view(invoice_id, row, found["held"], found["events"])
    return _view(invoice_id, row, found["held"], found["events"], source, found["attempts"], found["slots"])


def _view(
    invoice_id: str,
    row: Mapping[str, Any] | None,
    held: list[Any],
    events: Iterable[Any],
    source: Source | None = None,
    attempts: Sequence[CollectionAttempt] = (),
    slots: Iterable[Any] = (),
) -> View:
    contact = _contact_facts(invoice_id, row, held, list(events))
    if row is None:
        return View(contact, invoice_id=invoice_id)
    tried = [attempt_of(one) for one in attempts]
    by_us = sum(1 for one in attempts if one.source == OURS and one.chargebee_invoice_id == invoice_id)
    for slot in slots:
        tried.append(Attempt(slot.reserved_at, slot.amount_minor, slot.currency, slot.merchant_account, slot.invoice, reserved=True))
        by_us += slot.invoice == invoice_id
    return View(contact, tuple(str(tag) for tag in row["tags"] or ()), row["country"], source, tuple(tried), by_us, invoice_id)


def _customer(customer_id: str) -> QuerySet[Any, Any]:
    source = PaymentSource.objects.filter(pk=OuterRef("primary_payment_source_id"), is_deleted=False).values(
        found=JSONObject(
            instrument_hash="instrument_hash", network="network", kind="kind", status="status", issuing_country="issuing_country",
            expires_on="expires_on",
        )
    )  # fmt: skip
    return (
        Customer.objects.filter(pk=customer_id)
        .annotate(source=Subquery(source[:1]))
        .values(
            "is_deleted", "country", "time_zone", "phone_country", "has_email", "has_phone", "email_consent", "sms_consent", "tags", "source"
        )
    )  # fmt: skip


def _held(customer_id: str) -> QuerySet[Any, Any]:
    """(invoice, status, snoozed until) of the customer's cases, and (invoice, "promise", nothing) of open promises."""
    cases = Case.objects.filter(chargebee_customer_id=customer_id, status__in=Case.ACTIVE)
    promises = Promise.objects.filter(case__chargebee_customer_id=customer_id, status=Promise.OPEN)
    nothing = Value(None, DateTimeField())
    return cases.values_list("chargebee_invoice_id", "status", "snoozed_until").union(
        promises.values_list("case__chargebee_invoice_id", Value("promise", CharField()), nothing), all=True
    )


def _contact_facts(invoice_id: str, row: Mapping[str, Any] | None, held: list[Any], events: list[Any]) -> ContactFacts:
    if row is None:
        return ContactFacts(is_known=False)
    words = {a: Word(b, c, at) for what, a, b, c, at in events if what == "consent"}
    return ContactFacts(
        is_deleted=row["is_deleted"],
        country=row["country"],
        time_zone=row["time_zone"],
        phone_country=row["phone_country"],
        has_email=row["has_email"],
        has_phone=row["has_phone"],
        email_consent=row["email_consent"],
        sms_consent=row["sms_consent"],
        words=words,
        suppressed=tuple(Suppressed(b, a, date.fromisoformat(c) if c else None) for what, a, b, c, _ in events if what == "suppressed"),
        said=tuple(Said(at, a, b, c) for what, a, b, c, at in events if what == "said"),
        in_flight=sum(1 for what, *_ in events if what == "flight"),
        dispute=_which(invoice_id, [whose for whose, status, _ in held if status == Case.DISPUTED]),
        promise=_which(invoice_id, [whose for whose, status, _ in held if status == "promise"]),
        snoozed_until=next((until for whose, status, until in held if whose == invoice_id and status != "promise"), None),
    )


def _which(invoice_id: str, held: list[str]) -> str:
    """Whether it is this invoice that is held, or another; a case without an invoice is held by any."""
    if not held:
        return ""
    return "this" if not invoice_id or invoice_id in held else "other"


def _events(customer_id: str, since: datetime, proposal_id: UUID | None, address_hash: str) -> QuerySet[Any, Any]:
    """Contacts, words of consent, suppressions and messages under way, in one statement: (what, a, b, c, at)."""

    def five(query: QuerySet[Any, Any], what: str, a: Any, b: Any, c: Any, at: Any) -> QuerySet[Any, Any]:
        return query.order_by().values_list(
            Value(what, CharField()),
            Cast(a, CharField()),
            Cast(b, CharField()),
            Cast(c, CharField()),
            Cast(at, DateTimeField()),
            named=False,
        )

    said = Contact.objects.filter(chargebee_customer_id=customer_id, direction="out", at__gt=since)
    consents = Consent.objects.filter(chargebee_customer_id=customer_id)
    whom = Q(chargebee_customer_id=customer_id) | (Q(address_hash=address_hash) if address_hash else Q(pk__in=[]))
    suppressed = Suppression.objects.filter(whom, is_active=True)
    flying = Execution.objects.filter(
        proposal__chargebee_customer_id=customer_id,
        action="send_message",
        status__in=(Execution.EXECUTING, Execution.UNKNOWN, Execution.PERSON),
    )
    if proposal_id:
        flying = flying.exclude(proposal_id=proposal_id)
    return five(said, "said", F("channel"), F("kind"), Coalesce(F("case__chargebee_invoice_id"), Value("")), F("at")).union(
        five(consents, "consent", F("channel"), F("state"), F("source"), F("recorded_at")),
        five(suppressed, "suppressed", F("channel"), F("kind"), Coalesce(Cast("until_on", CharField()), Value("")), F("added_at")),
        five(flying, "flight", F("action"), Value(""), Value(""), F("not_before")),
        all=True,
    )


def _source(found: dict[str, Any] | None) -> Source | None:
    if not found or not found["instrument_hash"]:
        return None
    expires_on = date.fromisoformat(found["expires_on"]) if found["expires_on"] else None
    return Source(found["instrument_hash"], found["network"], found["kind"], found["status"], found["issuing_country"], expires_on)


def _attempts(instrument: Subquery, since: datetime) -> QuerySet[CollectionAttempt]:
    """The instrument's attempts in the longest window, and each older one that may forbid another for good."""
    for_good = Q(retryable__in=_NEVER) | ~Q(network_code="") | ~Q(advice_code="")
    return CollectionAttempt.objects.filter(Q(happened_at__gt=since) | for_good, instrument_hash=instrument)


def _slots(instrument: Subquery, since: datetime, proposal_id: UUID | None) -> QuerySet[Any, Any]:
    """The slots that are taken and of which no attempt is recorded yet."""
    recorded = CollectionAttempt.objects.filter(chargebee_transaction_id=OuterRef("chargebee_transaction_id"))
    taken = RetryReservation.objects.filter(
        instrument_hash=instrument, status__in=(RetryReservation.HELD, RetryReservation.USED), reserved_at__gt=since
    ).filter(~Exists(recorded))
    if proposal_id:
        taken = taken.exclude(execution__proposal_id=proposal_id)
    return taken.annotate(invoice=F("execution__proposal__chargebee_invoice_id"))


def attempt_of(row: CollectionAttempt) -> Attempt:
    """A ledger row as the rules see it."""
    return Attempt(
        at=row.happened_at,
        amount_minor=row.amount_minor,
        currency=row.currency,
        merchant_account=row.merchant_account,
        invoice_id=row.chargebee_invoice_id,
        succeeded=row.succeeded,
        code=row.decline_code,
        network_code=row.network_code,
        category=row.decline_category,
        retryable=row.retryable,
        min_wait_hours=row.min_wait_hours,
        advice_code=row.advice_code,
    )
