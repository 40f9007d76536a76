"""What the dunning agent reads: the facts as fetched, the customer's history, and what has been said and tried already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import QuerySet, Subquery

from agents.models import AgentRun, Release
from agents.platform.contract import NothingToDo
from agents.platform.prompts import released
from approvals import case_facts
from approvals.contract import Check
from approvals.models import Case, Contact, Promise
from approvals.policy import case_view, retry_ledger, rules
from billing_ai.facts import queries
from billing_ai.facts.models import Customer, Invoice, PaymentSource, Subscription, Transaction
from billing_ai.integrations import readers
from billing_ai.kernel import clock
from billing_ai.kernel.errors import OutsideError, StaleFacts
from billing_ai.kernel.money import Money
from billing_ai.tables.one_statement import Kept

LOOK_BACK = timedelta(days=730)


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt to collect, on any invoice of the customer."""

    id: str
    invoice_ids: tuple[str, ...]
    succeeded: bool
    at: datetime
    amount_minor: int
    currency: str
    gateway: str
    payment_method: str
    decline_code: str
    decline_category: str
    instrument_hash: str
    merchant_account: str
    network: str


@dataclass(frozen=True, slots=True)
class Said:
    """One message that went out on this case."""

    channel: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DunningContext:
    """Everything `decide` looks at. `live` holds personal data, in memory only, for rendering and verifying the draft."""

    invoice: Invoice
    customer: Customer
    tries: tuple[Try, ...]
    open_invoices: tuple[Invoice, ...]
    subscriptions: tuple[Subscription, ...]
    primary_source: PaymentSource | None
    said: tuple[Said, ...]
    open_tickets: int | None
    """None: the help desk could not be asked, or there is none."""
    broken_promises: int
    sms_is_allowed: bool
    retry_check: Check
    """What the retry ledger says of another charge: a retry that it forbids must not be promised in the message."""
    live: case_facts.CaseFacts
    releases: tuple[Release, ...] | None = None
    """The released prompts, as they were read along; None: they are looked up."""

    @property
    def tries_on_invoice(self) -> tuple[Try, ...]:
        """The tries on this invoice, newest first."""
        return tuple(one for one in self.tries if self.invoice.pk in one.invoice_ids)

    @property
    def failures(self) -> tuple[Try, ...]:
        """The failed ones among them, newest first."""
        return tuple(one for one in self.tries_on_invoice if not one.succeeded)

    def there(self, at: datetime) -> datetime:
        """A moment by the clock on the customer's wall; in UTC where their zone is not known."""
        return at.astimezone(ZoneInfo(self.customer.time_zone or "UTC"))


def load(run: AgentRun) -> DunningContext:
    """Read it. Raises NothingToDo when nothing is owed, StaleFacts when the facts were never fetched, Retryable when Chargebee is away."""
    found = _KEPT.ask(invoice_id=run.subject_id, customer_id=run.chargebee_customer_id, agent=run.agent, since=case_view.since(clock.now()))
    invoice = queries.must_be_fresh(next(iter(found["invoice"]), None), run.subject_id, clock.now())
    if not queries.is_open(invoice):
        raise NothingToDo(f"nothing is owed: the invoice is {invoice.status}")
    customer = next(iter(found["customer"]), None)
    if customer is None:
        raise StaleFacts(f"customer {invoice.chargebee_customer_id}")
    if customer.is_deleted:
        raise NothingToDo("the customer was deleted in Chargebee")
    tries = tuple(_try(one) for one in found["payments"] if one.happened_at > clock.now() - LOOK_BACK)
    mine = [one for one in tries if invoice.pk in one.invoice_ids and not one.succeeded]
    case = next(iter(found["case"]), None)
    if not mine and case is None:
        raise NothingToDo("no payment of this invoice has failed")
    if case is not None and case.status != Case.OPEN:
        raise NothingToDo(f"the case is {case.status}: nothing is drafted until that is settled")
    return DunningContext(
        invoice=invoice,
        customer=customer,
        tries=tries,
        open_invoices=tuple(found["open_invoices"]),
        subscriptions=tuple(found["subscriptions"]),
        primary_source=next((one for one in found["sources"] if one.pk == customer.primary_payment_source_id), None),
        said=tuple(Said(channel, at) for channel, at in found["said"]),
        open_tickets=_open_tickets(customer.pk),
        broken_promises=len(found["broken_promises"]),
        sms_is_allowed=customer.sms_consent == "yes" and customer.has_phone,
        retry_check=_retry_check(run, invoice, found),
        releases=tuple(found["releases"]),
        live=case_facts.load(customer.pk, invoice.pk, zone=customer.time_zone),
    )


def _retry_check(run: AgentRun, invoice: Invoice, found: Mapping[str, list[Any]]) -> Check:
    """What the retry ledger says, from what was read along with the rest, as long as the run names the invoice's customer."""
    due = Money(invoice.amount_due_minor, invoice.currency)
    if run.chargebee_customer_id != invoice.chargebee_customer_id:
        return retry_ledger.check(invoice.chargebee_customer_id, invoice.pk, due)
    now = clock.now()
    view = case_view.answered(invoice.pk, {name: found[f"gate_{name}"] for name in case_view.ASKED}, collects=True)
    return retry_ledger.weigh(view, invoice.pk, due, rules.current(now, looked=found["rules"]), now)


def _questions(*, invoice_id: str, customer_id: str, agent: str, since: datetime) -> dict[str, QuerySet[Any, Any]]:
    """All that is read, to be answered by one statement: whose the invoice is, is looked up in it."""
    whose = Subquery(Invoice.objects.filter(pk=invoice_id).values("chargebee_customer_id")[:1])
    case = Case.objects.filter(kind="dunning", chargebee_invoice_id=invoice_id, status__in=Case.ACTIVE)
    return {
        "invoice": Invoice.objects.filter(pk=invoice_id),
        "customer": Customer.objects.filter(pk=whose),
        **queries.questions(whose),
        "sources": PaymentSource.objects.filter(chargebee_customer_id=whose, is_deleted=False).order_by("pk"),
        "case": case.order_by("pk")[:1],
        "said": Contact.objects.filter(case__in=case, direction="out").order_by("-at").values_list("channel", "at")[:50],
        "broken_promises": Promise.objects.filter(case__in=case, status=Promise.BROKEN).values_list("pk"),
        **{f"gate_{name}": rows for name, rows in case_view.questions(customer_id, since).items()},
        "rules": rules.look(),
        "releases": released(agent),
    }


_KEPT = Kept(_questions)


def _try(row: Transaction) -> Try:
    return Try(
        id=row.pk,
        invoice_ids=tuple(row.invoice_ids),
        succeeded=row.status == "success",
        at=row.happened_at,
        amount_minor=row.amount_minor,
        currency=row.currency,
        gateway=row.gateway,
        payment_method=row.payment_method,
        decline_code=row.decline_code,
        decline_category=row.decline_category,
        instrument_hash=row.instrument_hash,
        merchant_account=row.gateway_account_id,
        network=row.network,
    )


def _open_tickets(customer_id: str) -> int | None:
    """How many of the customer's tickets are open. A help desk that is away must not keep a case from its reviewer."""
    try:
        tickets = readers.helpdesk().list_for_customer(customer_id)
    except OutsideError:
        return None
    return sum(1 for ticket in tickets if ticket.status not in ("solved", "closed"))
