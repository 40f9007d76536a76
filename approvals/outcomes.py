"""Did it work? What Chargebee's news settles: paid, paid in part, gone; and which of our steps is credited with it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from approvals import states
from approvals.case_transitions import stop_open
from approvals.ledger_notes import note_case
from approvals.models import Case, Contact, Execution, Outcome, Promise, Proposal
from approvals.policy.reference import reference_cents
from approvals.signals import case_changed
from audit.actor import Actor, chargebee
from billing_ai.facts import queries
from billing_ai.facts.models import Customer, Invoice, Transaction
from billing_ai.kernel import clock

CREDIT_FOR = timedelta(days=14)
"""How long after a message a payment by the customer is credited to it."""
_GONE = {"voided": "cancelled", "pending": "cancelled"}


def settle(customer_id: str, *, event_id: str = "") -> int:
    """Hold the customer's active cases against the facts as just fetched. Returns how many changed. Safe to run twice."""
    changed = 0
    for case_id in list(active(customer_id)):
        with transaction.atomic():
            changed += _settle_case(states.lock_case(case_id), event_id)
    return changed


def active(customer_id: str) -> QuerySet[Case, UUID]:
    """The ids of the cases that `settle` looks at."""
    return Case.objects.filter(chargebee_customer_id=customer_id, status__in=Case.ACTIVE).order_by("pk").values_list("pk", flat=True)


def _settle_case(case: Case, event_id: str) -> bool:
    invoice = Invoice.objects.filter(pk=case.chargebee_invoice_id).first() if case.chargebee_invoice_id else None
    is_whole = bool(case.chargebee_customer_id) and not case.chargebee_invoice_id
    if case.status not in Case.ACTIVE or (invoice is None and not is_whole):
        return False
    if invoice is not None:
        _credit_payments(case, invoice, event_id)
    customer = Customer.objects.filter(pk=case.chargebee_customer_id).first()
    if customer is not None and customer.is_deleted:
        return end(case, Case.CLOSED, "the customer was deleted in Chargebee", event_id)
    if invoice is None:
        return False  # about the customer as a whole: its agent says when it is over
    if invoice.status == "paid" or (queries.is_open(invoice) is False and invoice.amount_due_minor == 0 and invoice.status not in _GONE):
        recovered = sum(case.outcomes.values_list("recovered_minor", flat=True))
        if recovered:
            case.recovered_minor = recovered
            return end(case, Case.RECOVERED, "the invoice was paid", event_id)
        return end(case, Case.CLOSED, "nothing is owed any more (credited or written off)", event_id)
    if invoice.status in _GONE or invoice.is_deleted:
        return end(case, Case.CLOSED, f"the invoice is {invoice.status.replace('_', ' ')}", event_id)
    if invoice.amount_due_minor != case.amount_due_minor:
        before = case.amount_due_minor
        case.amount_due_minor = invoice.amount_due_minor
        case.amount_reference = reference_cents(case.amount_due)
        case.stake = case.amount_reference * case.uplift_bp // 10_000
        case.recovered_minor = sum(case.outcomes.values_list("recovered_minor", flat=True))
        stop_open(case, chargebee(), "the amount due has changed")
        case.save()
        note_case("case.amount_changed", case, chargebee(), {"before_minor": before, "now_minor": case.amount_due_minor})
        return True
    return False


def _credit_payments(case: Case, invoice: Invoice, event_id: str) -> None:
    """One outcome for each payment on the invoice that came in since the case was opened."""
    tries = [one for one in queries.payments(case.chargebee_customer_id) if invoice.pk in one.invoice_ids]
    tries.sort(key=lambda one: (one.happened_at, one.pk))
    # The clock of the site and ours may differ by a little; a payment in the minute before the case was opened counts.
    since = case.opened_at - timedelta(minutes=2)
    for number, paid in enumerate(tries, start=1):
        if paid.status != "success" or paid.happened_at < since:
            continue
        credited_to, proposal = _credit(case, paid)
        outcome, is_new = Outcome.objects.get_or_create(
            case=case,
            chargebee_transaction_id=paid.pk,
            defaults={
                "proposal": proposal,
                "kind": "recovered" if invoice.amount_due_minor == 0 else "part_recovered",
                "credited_to": credited_to,
                "recovered_minor": paid.amount_minor,
                "currency": paid.currency,
                "happened_at": paid.happened_at,
                "chargebee_event_id": event_id,
                "attempt_number": number,
            },
        )
        if is_new:
            note_case(
                "outcome.recovered",
                case,
                chargebee(),
                {
                    "minor": outcome.recovered_minor,
                    "currency": outcome.currency,
                    "credited_to": credited_to,
                    "transaction_id": paid.pk,
                    "attempt": number,
                    "event_id": event_id,
                },
            )


def _credit(case: Case, paid: Transaction) -> tuple[str, Proposal | None]:
    """What brought the money in: our retry, the last message before it, Chargebee's own dunning, or the customer unprompted."""
    retries = Execution.objects.filter(proposal__case=case, action="collect_payment").select_related("proposal")
    for execution in retries:
        if execution.result.get("transaction_id") == paid.pk:
            return "retry", execution.proposal
        if (
            execution.status in (Execution.EXECUTING, Execution.UNKNOWN)
            and execution.first_sent_at
            and execution.first_sent_at <= paid.happened_at
        ):
            return "retry", execution.proposal
    if paid.initiator == "merchant":
        return "chargebee", None
    contact = (
        Contact.objects.filter(
            case=case, direction="out", at__lte=paid.happened_at + timedelta(minutes=2), at__gte=paid.happened_at - CREDIT_FOR
        )
        .select_related("execution__proposal")
        .order_by("-at")
        .first()
    )
    if contact is not None:
        return contact.channel, contact.execution.proposal if contact.execution else None
    return "customer", None


def end(case: Case, status: str, reason: str, event_id: str, *, actor: Actor | None = None) -> bool:
    """End a locked case: what has not gone out is withdrawn, an open promise is settled. `actor` is who found it out, else Chargebee."""
    stop_open(case, actor or chargebee(), reason)
    case.status, case.closed_at, case.snoozed_until, case.updated_at = status, clock.now(), None, clock.now()
    case.amount_due_minor = 0 if status == Case.RECOVERED else case.amount_due_minor
    for promise in case.promises.filter(status=Promise.OPEN):
        _end_promise(promise, _came_in(case, promise), clock.now())
    case._change_reason = reason  # type: ignore[attr-defined]  # simple-history reads it from the instance
    case.save()
    note_case(
        f"case.{status}", case, actor or chargebee(), {"reason": reason, "recovered_minor": case.recovered_minor, "event_id": event_id}
    )
    case_changed.send(sender=Case, case=case, kind=f"case.{status}")
    return True


def follow_promises() -> int:
    """Promises whose day is over: kept, kept in part or broken, from what came in. A broken one brings the case back on top."""
    today = clock.utc_date(clock.now())
    settled = 0
    for case_id in Promise.objects.filter(status=Promise.OPEN, due_on__lt=today).values_list("case_id", flat=True)[:200]:
        with transaction.atomic():
            case = states.lock_case(case_id)
            promise = case.promises.filter(status=Promise.OPEN, due_on__lt=today).first()
            if promise is None:
                continue
            came_in = _came_in(case, promise)
            _end_promise(promise, came_in, clock.now())
            if case.status == Case.PROMISED:
                case.status = Case.OPEN
                case.broken_promise = promise.status == Promise.BROKEN
                case.save()
            note_case(f"promise.{promise.status}", case, Actor("system", "promises", "promises"), {"came_in_minor": came_in})
            case_changed.send(sender=Case, case=case, kind=f"promise.{promise.status}")
            settled += 1
    return settled


def _came_in(case: Case, promise: Promise) -> int:
    """What came in on the case from when the promise was taken to the end of its day, however late anyone looks."""
    until = datetime.combine(promise.due_on + timedelta(days=1), time(0), UTC)
    return sum(case.outcomes.filter(happened_at__gte=promise.taken_at, happened_at__lt=until).values_list("recovered_minor", flat=True))


def _end_promise(promise: Promise, came_in: int, now: datetime) -> None:
    promise.kept_minor, promise.settled_at = min(came_in, promise.amount_minor), now
    promise.status = Promise.KEPT if came_in >= promise.amount_minor else (Promise.PART_KEPT if came_in else Promise.BROKEN)
    promise.save()


def expire_proposals() -> int:
    """What nobody decided on in time, or what was approved and never became due: it fails closed. Returns how many."""
    due = Proposal.objects.filter(
        status__in=(*states.FOR_PEOPLE, states.BLOCKED, states.OBSERVED), expires_at__lte=clock.now()
    ).values_list("pk", flat=True)[:200]
    ended = 0
    for pk in list(due):
        with transaction.atomic():
            case, proposal = states.lock_proposal(pk)
            if proposal.status in (*states.FOR_PEOPLE, states.BLOCKED, states.OBSERVED) and proposal.expires_at <= clock.now():
                states.move(proposal, states.EXPIRED, Actor("system", "expiry", "expiry"), reason="nobody decided in time")
                case.save()
                ended += 1
    return ended
