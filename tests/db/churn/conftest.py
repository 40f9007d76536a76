"""Customers with the facts that scores rest on, and a way to run the agent on one of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from agents import runner
from agents.churn.interventions import install_default_rules
from agents.churn.models import ChurnSetting
from agents.models import AgentRun
from approvals.models import Phase
from approvals.policy import rules
from approvals.policy.defaults import install_defaults
from billing_ai.facts.models import Customer, PaymentSource, Subscription, Transaction
from billing_ai.kernel import clock, ids

NOW = datetime(2026, 3, 11, 10, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _rules_and_clock(db: None) -> Any:
    rules.forget()
    install_defaults()
    install_default_rules()
    ChurnSetting.objects.update_or_create(key="hold_out", defaults={"value": {"share": 0.0, "salt": "1"}})
    clock.shift(NOW - datetime.now(UTC))
    yield
    clock.shift(timedelta())
    rules.forget()


def customer(customer_id: str, *, failed: int = 0, mrr: int = 20_000, status: str = "active", **columns: Any) -> Customer:
    """A customer of two years with one monthly subscription, and `failed` payments in the last weeks; with six a discount ends too: high risk."""
    made = Customer.objects.create(
        chargebee_customer_id=customer_id, fetched_at=NOW, country="DE", locale="de", time_zone="Europe/Berlin", has_email=True,
        email_consent="yes", customer_since=NOW - timedelta(days=730), primary_payment_source_id=f"pm_{customer_id}", **columns,
    )  # fmt: skip
    PaymentSource.objects.create(
        chargebee_payment_source_id=f"pm_{customer_id}", chargebee_customer_id=customer_id, kind="card", status="valid",
        expires_on=date(2029, 12, 31), fetched_at=NOW,
    )  # fmt: skip
    ends = {"has_discount": True, "discount_ends_at": NOW + timedelta(days=10)} if failed >= 6 else {}
    subscription(customer_id, mrr=mrr, status=status, **ends)
    for number in range(failed):
        failed_payment(customer_id, days_ago=3 + number)
    return made


def subscription(customer_id: str, *, mrr: int = 20_000, status: str = "active", **columns: Any) -> Subscription:
    values = {
        "chargebee_customer_id": customer_id, "status": status, "currency": "EUR", "mrr_minor": mrr, "fetched_at": NOW, "has_discount": False,
        "discount_ends_at": None, "started_at": NOW - timedelta(days=730), "current_term_end_at": NOW + timedelta(days=20), "seats": 10, **columns,
    }  # fmt: skip
    return Subscription.objects.update_or_create(pk=f"sub_{customer_id}", defaults=values)[0]


def failed_payment(customer_id: str, *, days_ago: float) -> None:
    Transaction.objects.create(
        chargebee_transaction_id=f"txn_{ids.new_id()}", chargebee_customer_id=customer_id, kind="payment", status="failure", amount_minor=4_900,
        currency="EUR", happened_at=clock.now() - timedelta(days=days_ago), fetched_at=NOW,
    )  # fmt: skip


def phase(name: str) -> None:
    """How far the churn agent may go for everyone."""
    row = Phase.objects.get(agent="churn", segment="everyone")
    row.phase = name
    row.save()


def run_agent(customer_id: str, cause: str = "ev_1", cause_type: str = "payment_failed") -> AgentRun:
    """One run on the customer, to its end."""
    made = AgentRun.objects.create(
        agent="churn",
        subject_kind="customer",
        subject_id=customer_id,
        cause=cause,
        cause_type=cause_type,
        chargebee_customer_id=customer_id,
    )
    runner.run_due(10)
    made.refresh_from_db()
    return made
