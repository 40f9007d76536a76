"""The simulated year as facts: each week's happenings become the rows that a real site's events would have left."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from billing_ai.facts.models import Customer, Invoice, Subscription, Transaction
from billing_ai.signals.models import ExternalTicket, UsageEvent
from billing_ai.simulator.year import Happening, Made, Year

START = datetime(2025, 1, 6, 3, 0, tzinfo=UTC)


def at(day: float) -> datetime:
    """The moment of a day of the year."""
    return START + timedelta(days=day)


def name(number: int) -> str:
    """The customer's id."""
    return f"cus_{number:05}"


def begin(year: Year) -> None:
    """Everyone as they are on the first day."""
    Customer.objects.bulk_create(
        [
            Customer(
                chargebee_customer_id=name(made.number),
                fetched_at=START,
                country="DE",
                has_email=True,
                customer_since=START - timedelta(days=made.tenure_days),
            )
            for made in year.customers
        ],
        batch_size=1_000,
    )
    Subscription.objects.bulk_create([_subscription(made) for made in year.customers], batch_size=1_000)
    # What the product was used for before the year began: without it nothing would be known of the first month.
    week = timedelta(days=7)
    for back in range(1, 10):
        UsageEvent.objects.bulk_create(
            [
                _use(name(made.number), START - back * week + timedelta(hours=hour), f"before:{made.number}:{back}:{hour}")
                for made in year.customers
                for hour in range(round(made.uses_a_week))
            ],
            batch_size=5_000,
        )


def _subscription(made: Made) -> Subscription:
    return Subscription(
        chargebee_subscription_id=f"sub_{made.number:05}",
        chargebee_customer_id=name(made.number),
        status="active",
        currency="USD",
        mrr_minor=made.mrr_minor,
        seats=made.seats,
        has_discount=made.discount_ends is not None,
        discount_ends_at=at(made.discount_ends) if made.discount_ends is not None else None,
        started_at=START - timedelta(days=made.tenure_days),
        fetched_at=START,
    )


def _use(customer_id: str, moment: datetime, key: str) -> UsageEvent:
    return UsageEvent(
        client="year",
        external_id=key,
        customer_system="chargebee",
        customer_ref=customer_id,
        chargebee_customer_id=customer_id,
        status="done",
        name="used",
        occurred_at=moment,
    )


def apply(year: Year, happened: Iterable[Happening], counter: list[int]) -> None:
    """One week's happenings."""
    uses: list[UsageEvent] = []
    failed: list[Transaction] = []
    late: list[Invoice] = []
    tickets: list[ExternalTicket] = []
    for one in happened:
        customer_id, moment = name(one.customer), at(one.day)
        counter[0] += 1
        key = str(counter[0])
        subscription = Subscription.objects.filter(chargebee_customer_id=customer_id)
        match one.kind:
            case "use":
                uses.append(_use(customer_id, moment, key))
            case "payment_failed":
                failed.append(
                    Transaction(
                        chargebee_transaction_id=f"txn_{key}",
                        chargebee_customer_id=customer_id,
                        kind="payment",
                        status="failure",
                        amount_minor=1_000,
                        currency="USD",
                        happened_at=moment,
                        fetched_at=moment,
                    )
                )
            case "payment_late":
                late.append(
                    Invoice(
                        chargebee_invoice_id=f"inv_{key}",
                        chargebee_customer_id=customer_id,
                        status="paid",
                        currency="USD",
                        total_minor=1_000,
                        amount_due_minor=0,
                        issued_on=(moment - timedelta(days=30)).date(),
                        due_on=(moment - timedelta(days=6)).date(),
                        paid_at=moment,
                        fetched_at=moment,
                    )
                )
            case "ticket":
                tickets.append(
                    ExternalTicket(
                        client="year",
                        external_id=f"t{abs(int(one.value))}",
                        customer_system="chargebee",
                        customer_ref=customer_id,
                        chargebee_customer_id=customer_id,
                        status="done",
                        ticket_status="open",
                        tone="negative" if one.value < 0 else "neutral",
                        opened_at=moment,
                        changed_at=moment,
                    )
                )
            case "ticket_solved":
                ExternalTicket.objects.filter(external_id=f"t{int(one.value)}").update(ticket_status="solved", changed_at=moment)
            case "seats":
                made = year.customers[one.customer]
                held = subscription.get()
                subscription.update(seats=int(one.value), mrr_minor=round(made.mrr_minor * one.value / max(1, held.seats or 1)))
                made.mrr_minor = round(made.mrr_minor * one.value / max(1, held.seats or 1))
            case "scheduled":
                subscription.update(status="non_renewing", cancel_scheduled_at=at(one.value))
            case "left":
                subscription.update(status="cancelled", cancelled_at=moment, cancel_scheduled_at=None)
    UsageEvent.objects.bulk_create(uses, batch_size=5_000)
    Transaction.objects.bulk_create(failed, batch_size=1_000)
    Invoice.objects.bulk_create(late, batch_size=1_000)
    ExternalTicket.objects.bulk_create(tickets, batch_size=1_000)
