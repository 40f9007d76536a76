"""Rows that the rules read: one customer, one invoice, one case, in a known state."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User

from approvals.models import Case, Execution, Proposal, Revision
from approvals.policy import rules
from billing_ai.facts.models import Customer, Invoice, PaymentSource
from billing_ai.kernel import ids

NOW = datetime(2026, 3, 11, 10, 0, tzinfo=UTC)
"""A Wednesday, 11:00 in Berlin, no day off."""


@pytest.fixture(autouse=True)
def _fresh_rules(db: None) -> None:
    rules.forget()


@pytest.fixture
def now() -> datetime:
    return NOW


def make_customer(customer_id: str = "cust_1", **columns: Any) -> Customer:
    values = {
        "fetched_at": NOW, "country": "DE", "time_zone": "Europe/Berlin", "has_email": True, "has_phone": True, "tier": "standard",
        "primary_payment_source_id": f"pm_{customer_id}",
    } | columns  # fmt: skip
    customer = Customer.objects.create(chargebee_customer_id=customer_id, **values)
    PaymentSource.objects.create(
        chargebee_payment_source_id=f"pm_{customer_id}", chargebee_customer_id=customer_id, kind="card", status="valid", network="visa",
        issuing_country="DE", expires_on=date(2029, 12, 31), instrument_hash=f"hash_{customer_id}", fetched_at=NOW,
    )  # fmt: skip
    return customer


def make_case(customer_id: str = "cust_1", invoice_id: str = "inv_1", amount: int = 4_900, currency: str = "EUR") -> Case:
    Invoice.objects.create(
        chargebee_invoice_id=invoice_id, chargebee_customer_id=customer_id, status="payment_due", currency=currency, total_minor=amount,
        amount_due_minor=amount, issued_on=NOW.date(), due_on=NOW.date(), fetched_at=NOW,
    )  # fmt: skip
    return Case.objects.create(
        chargebee_customer_id=customer_id, chargebee_invoice_id=invoice_id, currency=currency, amount_due_minor=amount, tier="standard",
        country="DE", trace_id="t" * 32,
    )  # fmt: skip


def make_proposal(case: Case, action: str = "collect_payment", *, step: str = "retry:1", channel: str = "", **columns: Any) -> Proposal:
    amount = case.amount_due_minor if action == "collect_payment" else 0
    values = {
        "agent": "dunning", "status": "waiting", "facts_hash": "f" * 64, "expires_at": NOW + timedelta(days=7), "amount_minor": amount,
        "trace_id": case.trace_id, "currency": case.currency,
    } | columns  # fmt: skip
    proposal = Proposal.objects.create(
        case=case, action=action, step=step, chargebee_customer_id=case.chargebee_customer_id,
        chargebee_invoice_id=case.chargebee_invoice_id, **values,
    )  # fmt: skip
    proposal.current = Revision.objects.create(proposal=proposal, number=1, channel=channel, content_hash="c" * 64)
    proposal.save()
    return proposal


def make_execution(proposal: Proposal, **columns: Any) -> Execution:
    key = ids.effect_key(proposal.pk)
    return Execution.objects.create(
        proposal=proposal, action=proposal.action, business_key=key, idempotency_key=key, trace_id=proposal.trace_id, **columns
    )


def make_lead(name: str = "lead") -> User:
    user = User.objects.create_user(name, password="a-long-password")
    user.user_permissions.add(
        *Permission.objects.filter(codename__in=["change_rules", "lead_case", "work_case"], content_type__app_label="approvals")
    )
    return User.objects.get(pk=user.pk)
