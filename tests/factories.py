"""Rows for tests, made the way the system makes them: facts first, then a case with its sealed drafts. And a Chargebee that answers from a dict."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User

from approvals.contract import Words
from approvals.models import Case, Proposal, Revision
from approvals.revisions import hash_of
from audit import seal
from billing_ai.facts import models as facts
from billing_ai.facts.queries import facts_hash
from billing_ai.integrations.chargebee.payment_resources import PaymentSource
from billing_ai.integrations.chargebee.resources import Customer, Invoice
from billing_ai.kernel import clock, ids
from billing_ai.kernel.errors import Retryable, Terminal

PASSWORD = "correct horse battery"
ROLES = ("specialist", "lead", "finance", "auditor")
_numbers = itertools.count(1)

NAMES: dict[str, dict[str, str]] = {
    "script": {
        "first_name": "<script>alert(1)</script>",
        "last_name": "<img src=x onerror=alert(2)>",
        "company": '"><svg onload=alert(3)>',
    },
    "quotes": {"first_name": 'O\'Neil "the" & <b>co</b>', "last_name": "{{ invoice.total }}{% now 'Y' %}", "company": '=HYPERLINK("x")'},
    "lines": {
        "first_name": "Ada\r\nBcc: eve@example.com\r\n\r\nPay at https://evil.example",
        "last_name": "[Pay](https://evil.example)",
        "company": "",
    },
    "reversed": {"first_name": "\u202egnp.exe", "last_name": "شركة", "company": "שלום"},
    "right to left": {"first_name": "נועה", "last_name": "كريم", "company": "שלום בע״מ"},
    "apostrophe": {"first_name": "D'Arcy", "last_name": "Müller-Søn", "company": "Bean & Søn"},
    "long": {"first_name": "x" * 500, "last_name": "y" * 500, "company": "z" * 500},
    "empty": {"first_name": "", "last_name": "", "company": ""},
}
"""What customers are called, and what somebody may have typed into that field."""

ENGLISH = Words(
    "email",
    "en",
    "friendly",
    "Your payment for invoice {{ invoice.number }} did not go through",
    "Hello {{ customer.first_name }},\n\nthe payment of {{ invoice.amount_due }} for invoice {{ invoice.number }} did not go through. "
    "It was due on {{ invoice.due_date }}.\n\nYou can pay in a minute here:\n\n[Pay the invoice]({{ links.pay }})\n\n"
    "If something is not right, write to us at {{ support.email }}.\n\nKind regards\n{{ sender.name }}",
)
GERMAN = Words(
    "email",
    "de",
    "friendly",
    "Ihre Zahlung zur Rechnung {{ invoice.number }} hat nicht geklappt",
    "Guten Tag {{ customer.first_name }},\n\ndie Zahlung über {{ invoice.amount_due }} zur Rechnung {{ invoice.number }} hat leider nicht geklappt. "
    "Fällig war sie am {{ invoice.due_date }}.\n\nHier können Sie in einer Minute bezahlen:\n\n[Rechnung bezahlen]({{ links.pay }})\n\n"
    "Falls etwas nicht stimmt, schreiben Sie uns an {{ support.email }}.\n\nMit freundlichen Grüßen\n{{ sender.name }}",
)
SMS = Words(
    "sms", "en", "neutral", "", "{{ vendor.name }}: your payment of {{ invoice.amount_due }} did not go through. Pay here: {{ links.pay }}"
)


@cache
def _hashed(hasher: str) -> str:
    """The password as this hasher keeps it: benches have the real one, and there once is enough."""
    return make_password(PASSWORD)


def user(role: str, name: str = "", **more: Any) -> User:
    """A colleague with a role; `nobody` is signed in but has none."""
    made = User.objects.create(username=name or role, password=_hashed(settings.PASSWORD_HASHERS[0]), is_staff=True, **more)
    if role in (*ROLES, "integration"):
        made.groups.add(Group.objects.get_or_create(name=role)[0])
    return made


@dataclass
class FakeChargebee:
    """Answers the reads of the review page. `away` makes every one of them fail as a broken line does."""

    customers: dict[str, dict[str, Any]] = field(default_factory=dict)
    invoices: dict[str, dict[str, Any]] = field(default_factory=dict)
    away: bool = False

    def _line(self) -> None:
        if self.away:
            raise Retryable("chargebee.unreachable", "Chargebee does not answer.")

    def retrieve_customer(self, customer_id: str) -> Customer:
        self._line()
        if customer_id not in self.customers:
            raise Terminal("chargebee.not_found", "There is no such customer.")
        return Customer.from_raw(self.customers[customer_id])

    def retrieve_invoice(self, invoice_id: str) -> Invoice:
        self._line()
        if invoice_id not in self.invoices:
            raise Terminal("chargebee.not_found", "There is no such invoice.")
        return Invoice.from_raw(self.invoices[invoice_id])

    def retrieve_payment_source(self, payment_source_id: str) -> PaymentSource:
        self._line()
        raise Terminal("chargebee.not_found", "There is no such payment source.")

    def list_invoices(self, *, customer_id: str = "", **_: Any) -> Iterator[Invoice]:
        self._line()
        return iter([Invoice.from_raw(raw) for raw in self.invoices.values() if raw["customer_id"] == customer_id])

    def find_customers(self, **ways: str) -> Iterator[Customer]:
        self._line()
        given = {key: value.lower() for key, value in ways.items() if value}
        return iter(
            [
                Customer.from_raw(raw)
                for raw in self.customers.values()
                if all(str(raw.get(key, "")).lower().startswith(value) for key, value in given.items())
            ]
        )

    def install(self, monkeypatch: Any) -> FakeChargebee:
        """Stand in for the reads."""
        from billing_ai.integrations.chargebee import reads

        for name in ("retrieve_customer", "retrieve_invoice", "retrieve_payment_source", "list_invoices", "find_customers"):
            monkeypatch.setattr(reads, name, getattr(self, name))
        return self


def case(
    chargebee: FakeChargebee | None = None,
    *,
    first_name: str = "Ada",
    last_name: str = "Lovelace",
    company: str = "",
    email: str = "ada@example.com",
    locale: str = "en-GB",
    country: str = "GB",
    currency: str = "EUR",
    due_minor: int = 4_900,
    category: str = "insufficient_funds",
    headline: str = "Card declined for want of funds; two payments before came in late",
    stake: int | None = None,
    overdue_days: int = 3,
    words: Words | None = ENGLISH,
    retry_in_days: int | None = None,
    **columns: Any,
) -> Case:
    """An open case with its facts, and (with `words`) a message that waits for a person, and a retry when a day for it is given."""
    number = next(_numbers)
    customer_id, invoice_id = columns.pop("customer_id", f"cus_{number:06}"), columns.pop("invoice_id", f"INV-{number:06}")
    now = clock.now()
    due = now - timedelta(days=overdue_days)
    language = locale.split("-")[0]
    source_id = f"pm_{customer_id}"
    facts.PaymentSource.objects.update_or_create(
        pk=source_id,
        defaults={
            "chargebee_customer_id": customer_id, "kind": "card", "status": "valid", "network": "visa", "funding": "credit", "fetched_at": now,
            "expires_on": now.date() + timedelta(days=900), "issuing_country": country, "instrument_hash": f"{number:064x}",
        },
    )  # fmt: skip
    facts.Customer.objects.update_or_create(
        pk=customer_id,
        defaults={
            "locale": locale, "country": country, "time_zone": "UTC", "has_email": bool(email), "email_consent": "yes", "sms_consent": "yes",
            "has_phone": True, "fetched_at": now, "customer_since": now - timedelta(days=500), "tier": columns.get("tier", "growth"),
            "primary_payment_source_id": source_id,
        },
    )  # fmt: skip
    facts.Invoice.objects.create(
        pk=invoice_id, chargebee_customer_id=customer_id, status="not_paid", currency=currency, total_minor=due_minor, amount_due_minor=due_minor,
        issued_on=due.date(), due_on=due.date(), dunning_status="in_progress", fetched_at=now,
    )  # fmt: skip
    if chargebee is not None:
        chargebee.customers[customer_id] = {
            "id": customer_id, "first_name": first_name, "last_name": last_name, "company": company, "email": email, "locale": locale,
            "phone": "+447700900123", "billing_address": {"country": country}, "created_at": clock.to_seconds(now - timedelta(days=500)),
            "resource_version": 1,
        }  # fmt: skip
        chargebee.invoices[invoice_id] = {
            "id": invoice_id, "customer_id": customer_id, "status": "not_paid", "dunning_status": "in_progress", "currency_code": currency,
            "total": due_minor, "amount_due": due_minor, "date": clock.to_seconds(due), "due_date": clock.to_seconds(due), "resource_version": 1,
        }  # fmt: skip
    made = Case.objects.create(
        chargebee_customer_id=customer_id, chargebee_invoice_id=invoice_id, currency=currency, amount_due_minor=due_minor,
        amount_reference=due_minor, due_on=due.date(), category=category, headline=headline, likelihood_bp=columns.pop("likelihood_bp", 5_400),
        uplift_bp=columns.pop("uplift_bp", 1_800), stake=due_minor * 18 // 100 if stake is None else stake, language=language, country=country,
        tier=columns.pop("tier", "growth"), trace_id=ids.new_trace_id(), next_action=columns.pop("next_action", "Write a friendly mail"),
        reasons=[
            {"code": "late_payer", "sentence": "Two of the last six payments came in late, but came in.", "weight": 0.6, "fact": f"invoice:{invoice_id}"},
            {"code": "tenure", "sentence": "A customer for more than a year.", "weight": 0.4, "fact": f"customer:{customer_id}"},
            {"code": "amount", "sentence": "The amount is higher than usual for them.", "weight": -0.3, "fact": ""},
        ],
        **columns,
    )  # fmt: skip
    if words is not None:
        proposal(made, words=words)
    if retry_in_days is not None:
        proposal(made, action="collect_payment", step="retry:1", amount_minor=due_minor, not_before=now + timedelta(days=retry_in_days))
    return made


def proposal(
    of: Case,
    *,
    action: str = "send_message",
    step: str = "message:1",
    status: str = "waiting",
    words: Words | None = None,
    amount_minor: int = 0,
    not_before: datetime | None = None,
    payload: dict[str, Any] | None = None,
    findings: list[dict[str, Any]] | None = None,
    **columns: Any,
) -> Proposal:
    """A proposal with its first revision, sealed as the real ones are."""
    now = clock.now()
    made = Proposal.objects.create(
        case=of, agent="dunning", action=action, step=step, status=status, chargebee_customer_id=of.chargebee_customer_id,
        chargebee_invoice_id=of.chargebee_invoice_id, currency=of.currency, amount_minor=amount_minor,
        facts_hash=facts_hash(of.chargebee_invoice_id), expires_at=columns.pop("expires_at", now + timedelta(days=3)), trace_id=of.trace_id,
        not_before=not_before, model=columns.pop("model", "offline/collector"),
        reasons=[{"code": "payday", "sentence": "Earlier payments came in at the end of the month.", "weight": 0.3, "fact": ""}], **columns,
    )  # fmt: skip
    values = payload if payload is not None else {"invoice_id": of.chargebee_invoice_id}
    text = json.dumps({"subject": words.subject, "body": words.body}, ensure_ascii=False) if words else ""
    made.current = Revision.objects.create(
        proposal=made, number=1, payload=values, sealed_words=seal.seal(of.chargebee_customer_id, text) if words else None,
        channel=words.channel if words else "", language=words.language if words else "", tone=words.tone if words else "",
        content_hash=hash_of(values, words), findings=findings or [],
    )  # fmt: skip
    made.save()
    waiting = of.proposals.filter(status__in=("waiting", "waiting_second")).count()
    Case.objects.filter(pk=of.pk).update(waiting_count=waiting)
    of.waiting_count = waiting
    return made
