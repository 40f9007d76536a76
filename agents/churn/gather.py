"""From facts, tickets, usage and contacts to each customer's figures at one moment: a few grouped queries for any number of customers.

Missing is missing. A customer without a ticket has 0 open tickets only where tickets reach this system at all; use in the 30 days before the
last 30 is known only where usage events go back that far; what a subscription was worth 90 days ago only where it was seen then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from django.db import models
from django.db.models import Count, F, Max, Min, Q, Sum
from numpy.typing import NDArray

from agents.churn.models import ChurnScore, ValueChange
from agents.churn.signals import FIELDS, NEVER, FloatArray
from approvals.models import Case, Contact
from approvals.policy import rules
from approvals.policy.reference import KEY as RATES
from billing_ai.facts.models import Customer, Invoice, PaymentSource, Subscription, Transaction
from billing_ai.kernel import clock
from billing_ai.kernel.money import UnknownCurrency, exponent
from billing_ai.signals.models import CrmLink, ExternalTicket, ReplyNote, UsageEvent
from billing_ai.work.models import Leased

CAN_BE_LEFT = ("active", "non_renewing", "in_trial", "paused")
_TONES = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
_OPEN_TICKETS = (ExternalTicket.OPEN, ExternalTicket.PENDING)
_OWED = ("payment_due", "not_paid")
_DAY = 86_400.0
MEDIUM_FROM_CENTS, LARGE_FROM_CENTS = 10_000, 100_000
"""Reference cents of MRR from which a customer without a tier counts as medium, as large."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which customers: those named, or everyone after `after` up to `until` in the database's own order."""

    ids: tuple[str, ...] = ()
    after: str = ""
    until: str = ""

    def __call__(self, column: str = "chargebee_customer_id") -> Q:
        """The condition on the column that holds the customer's id."""
        if self.until:
            return Q(**{f"{column}__gt": self.after, f"{column}__lte": self.until})
        return Q(**{f"{column}__in": self.ids})


@dataclass(frozen=True, slots=True)
class Sources:
    """What reaches this installation at all: since when usage events and tickets do, None where they never did."""

    usage_since: datetime | None
    tickets_since: datetime | None
    rates: Mapping[str, float]
    """Reference cents for one minor unit of each currency."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The customers' figures, in the order of `ids`; NaN where nothing is known."""

    ids: list[str]
    columns: dict[str, FloatArray]
    currencies: list[str]
    value_reference_cents: np.ndarray
    is_active: np.ndarray
    segments: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, positions: NDArray[np.int64]) -> Gathered:
        """The customers at these positions only."""
        kept = positions.tolist()
        return Gathered(
            [self.ids[at] for at in kept],
            {name: values[positions] for name, values in self.columns.items()},
            [self.currencies[at] for at in kept],
            self.value_reference_cents[positions],
            self.is_active[positions],
            [self.segments[at] for at in kept],
        )


def sources(as_of: datetime) -> Sources:
    """Look once a night, or once a run, at what is told here at all."""
    done = {"status": Leased.DONE}
    rule = rules.recent(clock.now()).policies.get(RATES)
    return Sources(
        UsageEvent.objects.filter(**done, occurred_at__lte=as_of).aggregate(first=Min("occurred_at"))["first"],
        ExternalTicket.objects.filter(**done, opened_at__lte=as_of).aggregate(first=Min("opened_at"))["first"],
        _cents_a_minor_unit(rule.params.get("rates", {}) if rule is not None and rule.is_enabled else {}),
    )


def _cents_a_minor_unit(rates: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for currency, rate in rates.items():
        try:
            found[currency] = float(Decimal(str(rate)) * 100 / 10 ** exponent(currency))
        except (UnknownCurrency, InvalidOperation):
            continue  # a rate that cannot be read values nothing; the rules' own page says so
    return found


def gather(customer_ids: Sequence[str], as_of: datetime, known: Sources, *, chosen: Chosen | None = None) -> Gathered:
    """The figures of these customers. `chosen` is their stretch, which is quicker to ask for than many ids."""
    which = chosen or Chosen(tuple(customer_ids))
    place = {customer_id: position for position, customer_id in enumerate(customer_ids)}
    columns = {name: np.full(len(place), np.nan) for name in FIELDS}
    found = _Batch(list(customer_ids), place, columns, which, as_of, known)
    found.read()
    return Gathered(found.ids, columns, found.currencies, found.value, found.is_active, found.segments)


class _Batch:
    """One batch being read: each method fills the columns of one source."""

    def __init__(
        self, ids: list[str], place: Mapping[str, int], columns: dict[str, FloatArray], which: Chosen, as_of: datetime, known: Sources
    ) -> None:
        self.ids, self.place, self.columns, self.which, self.as_of, self.known = ids, place, columns, which, as_of, known
        self.currencies = [""] * len(ids)
        self.value = np.zeros(len(ids), dtype=np.int64)
        self.is_active = np.zeros(len(ids), dtype=np.bool_)
        self.segments = [""] * len(ids)
        self._now = as_of.timestamp()

    def read(self) -> None:
        tiers = self._customers()
        self._subscriptions()
        self._changes_of_value()
        self._payments()
        self._invoices()
        self._contacts()
        self._tickets()
        self._usage()
        self._segments(tiers)

    def _fill(self, name: str, rows: Iterable[tuple[str, float | None]]) -> None:
        column = self.columns[name]
        for customer_id, value in rows:
            position = self.place.get(customer_id)
            if position is not None and value is not None:
                column[position] = value

    def _count(self, name: str, table: type[models.Model], condition: Q) -> None:
        """Known for everyone: who has none has 0."""
        self.columns[name][:] = 0.0
        rows = table._default_manager.filter(self.which(), condition).values_list("chargebee_customer_id").annotate(n=Count("pk"))
        self._fill(name, rows.order_by().iterator(chunk_size=10_000))

    def _days(self, moment: datetime | date | None) -> float | None:
        if moment is None:
            return None
        at = moment if isinstance(moment, datetime) else datetime.combine(moment, time.max, tzinfo=self.as_of.tzinfo)
        return max(0.0, (at.timestamp() - self._now) / _DAY)

    def _customers(self) -> dict[str, str]:
        """Tenure and the card's expiry; gives each customer's tier."""
        tiers: dict[str, str] = {}
        primary: dict[str, str] = {}
        rows = Customer.objects.filter(self.which("pk")).values_list("pk", "tier", "customer_since", "primary_payment_source_id")
        for customer_id, tier, since, source in rows.iterator(chunk_size=10_000):
            position = self.place.get(customer_id)
            if position is None:
                continue
            if tier:
                tiers[customer_id] = tier
            if source:
                primary[customer_id] = source
            if since is not None:
                self.columns["tenure_days"][position] = max(0.0, (self._now - since.timestamp()) / _DAY)
        links = (
            CrmLink.objects.filter(self.which()).exclude(tier="").order_by("updated_at", "pk").values_list("chargebee_customer_id", "tier")
        )
        tiers.update(links.iterator(chunk_size=10_000))
        held = PaymentSource.objects.filter(self.which(), is_deleted=False)
        expiry = self.columns["card_expires_in_days"]
        for pk, customer_id, kind, expires_on in held.values_list("pk", "chargebee_customer_id", "kind", "expires_on").iterator(
            chunk_size=10_000
        ):
            position = self.place.get(customer_id)
            if position is not None and primary.get(customer_id) == pk:
                days = self._days(expires_on)
                expiry[position] = days if days is not None else np.nan if kind == "card" else NEVER
        return tiers

    def _subscriptions(self) -> None:
        live = Q(status__in=CAN_BE_LEFT)
        rows = (
            Subscription.objects.filter(self.which(), is_deleted=False)
            .order_by()
            .values_list("chargebee_customer_id")
            .annotate(
                mrr=Sum("mrr_minor", filter=live),
                first_currency=Min("currency", filter=live),
                last_currency=Max("currency", filter=live),
                held=Count("pk", filter=live),
                leaving=Count("pk", filter=live & Q(cancel_scheduled_at__isnull=False)),
                leaves_at=Max("cancel_scheduled_at", filter=live),
                renews_at=Min("current_term_end_at", filter=live),
                first_start=Min("started_at"),
                last_start=Max("started_at", filter=live),
                first_end=Min("cancelled_at", filter=Q(status="cancelled")),
                seats_held=Sum("seats", filter=live),
                counted=Count("seats", filter=live),
                discounted=Count("pk", filter=live & Q(discount_ends_at__isnull=False)),
                first_discount_end=Min("discount_ends_at", filter=live),
                without_discount=Count("pk", filter=live & Q(has_discount=False)),
            )
        )
        columns, rates = self.columns, self.known.rates
        for (
            customer_id, mrr, first, last, held, leaving, leaves_at, renews_at, started_at, last_start, first_end, seats, counted, discounted,
            discount_ends_at, without_discount,
        ) in rows.iterator(chunk_size=10_000):  # fmt: skip
            position = self.place.get(customer_id)
            if position is None:
                continue
            if math.isnan(columns["tenure_days"][position]) and started_at is not None:
                columns["tenure_days"][position] = max(0.0, (self._now - started_at.timestamp()) / _DAY)
            self.is_active[position] = held > 0
            if not held:
                continue
            if first == last:
                self.currencies[position] = first
                columns["mrr_minor"][position] = mrr
                self.value[position] = round(mrr * rates.get(first, 0.0))
            columns["cancellation_in_days"][position] = self._days(leaves_at) if leaving == held else NEVER
            renewal = self._days(renews_at)
            if renewal is not None:
                columns["days_to_renewal"][position] = renewal
            came_back = first_end is not None and last_start is not None and last_start > first_end
            columns["was_reactivated"][position] = float(came_back)
            if counted == held:
                columns["seats"][position] = seats
            if discounted:
                columns["discount_ends_in_days"][position] = self._days(discount_ends_at)
            elif without_discount == held:
                columns["discount_ends_in_days"][position] = NEVER

    def _changes_of_value(self) -> None:
        """What MRR and seats were 90 days ago, and how often the value went down: from the changes seen since the customer was first scored."""
        # The filter leaves none without a first sight; the column itself may be empty.
        seen: dict[str, Any] = dict(
            ChurnScore.objects.filter(self.which(), first_seen_at__isnull=False)
            .values_list("chargebee_customer_id", "first_seen_at")
            .iterator()
        )
        past, half_year = self.as_of - timedelta(days=90), self.as_of - timedelta(days=180)
        for customer_id, since in seen.items():
            position = self.place.get(customer_id)
            if position is None:
                continue
            self.columns["downgrades_180d"][position] = 0.0
            if since <= past:
                self.columns["mrr_minor_90d_ago"][position] = self.columns["mrr_minor"][position]
                self.columns["seats_90d_ago"][position] = self.columns["seats"][position]
        changes = ValueChange.objects.filter(self.which(), at__gt=half_year, at__lte=self.as_of).order_by("-at", "-pk")
        for customer_id, at, what, before, after in changes.values_list(
            "chargebee_customer_id", "at", "what", "before", "after"
        ).iterator():
            position = self.place.get(customer_id)
            if position is None or customer_id not in seen:
                continue
            if what == ValueChange.MRR and after < before:
                self.columns["downgrades_180d"][position] += 1.0
            if (
                at > past and seen[customer_id] <= past
            ):  # newest first: the last one kept is the oldest since, and tells what was there before
                field = "mrr_minor_90d_ago" if what == ValueChange.MRR else "seats_90d_ago"
                self.columns[field][position] = before

    def _payments(self) -> None:
        self._count(
            "failed_payments_90d",
            Transaction,
            Q(
                kind="payment",
                status="failure",
                is_deleted=False,
                happened_at__gt=self.as_of - timedelta(days=90),
                happened_at__lte=self.as_of,
            ),
        )

    def _invoices(self) -> None:
        today = clock.utc_date(self.as_of)
        since = today - timedelta(days=90)
        late = Q(paid_at__isnull=False, paid_at__date__gt=F("due_on")) | Q(paid_at__isnull=True, due_on__lt=today, status__in=_OWED)
        self._count("late_payments_90d", Invoice, late & Q(is_deleted=False, due_on__gt=since, due_on__lte=today))
        self._count("disputes_180d", Case, Q(disputed_at__gt=self.as_of - timedelta(days=180), disputed_at__lte=self.as_of))

    def _contacts(self) -> None:
        since = Q(at__gt=self.as_of - timedelta(days=90), at__lte=self.as_of)
        self._count("messages_sent_90d", Contact, since & Q(direction="out"))
        self._count("messages_answered_90d", Contact, since & Q(direction="in"))
        written = Q(written_at__gt=self.as_of - timedelta(days=90), written_at__lte=self.as_of, kind=ReplyNote.REPLY, status=Leased.DONE)
        answered = self.columns["messages_answered_90d"]
        replies = ReplyNote.objects.filter(self.which(), written).order_by().values_list("chargebee_customer_id").annotate(n=Count("pk"))
        for customer_id, number in replies.iterator(chunk_size=10_000):
            position = self.place.get(customer_id)
            if position is not None:
                answered[position] += number
        # Several replies to one message answer that message.
        np.minimum(answered, self.columns["messages_sent_90d"], out=answered)

    def _tickets(self) -> None:
        if self.known.tickets_since is None:
            return
        told = Q(status=Leased.DONE, opened_at__lte=self.as_of)
        self.columns["tickets_open"][:] = 0.0
        self.columns["oldest_ticket_days"][:] = 0.0
        rows = ExternalTicket.objects.filter(self.which(), told, ticket_status__in=_OPEN_TICKETS)
        counted = rows.order_by().values_list("chargebee_customer_id").annotate(n=Count("pk"), oldest=Min("opened_at"))
        for customer_id, number, oldest in counted.iterator(chunk_size=10_000):
            position = self.place.get(customer_id)
            if position is not None:
                self.columns["tickets_open"][position] = number
                self.columns["oldest_ticket_days"][position] = max(0.0, (self._now - oldest.timestamp()) / _DAY)
        recent = ExternalTicket.objects.filter(self.which(), told, changed_at__gt=self.as_of - timedelta(days=90), tone__in=_TONES)
        total: dict[str, list[float]] = {}
        for customer_id, tone in recent.values_list("chargebee_customer_id", "tone").iterator(chunk_size=10_000):
            total.setdefault(customer_id, []).append(_TONES[tone])
        self._fill("ticket_tone", ((customer_id, sum(tones) / len(tones)) for customer_id, tones in total.items()))

    def _usage(self) -> None:
        since = self.known.usage_since
        month, two_months = self.as_of - timedelta(days=30), self.as_of - timedelta(days=60)
        if since is None or since > month:
            return
        done = Q(status=Leased.DONE)
        self._count("events_30d", UsageEvent, done & Q(occurred_at__gt=month, occurred_at__lte=self.as_of))
        if since <= two_months:
            self._count("events_prior_30d", UsageEvent, done & Q(occurred_at__gt=two_months, occurred_at__lte=month))

    def _segments(self, tiers: Mapping[str, str]) -> None:
        self.segments = [
            (tiers.get(customer_id) or _size(int(value)))[:40] for customer_id, value in zip(self.ids, self.value, strict=True)
        ]


def _size(cents: int) -> str:
    return "small" if cents < MEDIUM_FROM_CENTS else "medium" if cents < LARGE_FROM_CENTS else "large"
