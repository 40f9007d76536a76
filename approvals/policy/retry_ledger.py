"""The retry ledger: every attempt to collect, whoever made it, and the slots that are taken before a new one is made.

`reserve` checks the windows and takes a slot under the lock of the instrument's own row, so that any number of workers at once stay within them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from approvals.contract import Check
from approvals.models import CollectionAttempt, Execution, Instrument, RetryReservation
from approvals.policy import case_view, rules
from approvals.policy.case_view import OURS, View
from approvals.policy.retry_rules import Charge, check_retry
from approvals.policy.rules import Rules
from billing_ai.facts.decline_codes import classify
from billing_ai.facts.models import Customer, PaymentSource, Transaction
from billing_ai.kernel import clock
from billing_ai.kernel.money import Money
from billing_ai.tables.one_statement import Kept
from billing_ai.tables.one_write import Insert, write

PENDING = "pending"
_ON_ITS_WAY = ("in_progress", "needs_attention")
_MOST_TRANSACTIONS = 500
_TAKEN = (RetryReservation.HELD, RetryReservation.USED)
_FOUND_WITHIN = timedelta(minutes=30)
"""How long after its slot was taken a transaction may appear and still be the one that the slot was taken for."""


def record_from_transactions(customer_id: str) -> int:
    """Bring the ledger up to the customer's transactions as facts have them. Safe to repeat. Returns how many rows were new or changed."""
    with transaction.atomic(savepoint=False):
        changed = news(_QUESTIONS.ask(customer_id=customer_id))
        write(changed)
    return len(changed.rows)


def questions(customer_id: str) -> dict[str, QuerySet[Any, Any]]:
    """The customer's payments, what the ledger holds of them, and a slot of ours that one of them may belong to: for `news`."""
    payments = (
        Transaction.objects.filter(chargebee_customer_id=customer_id, kind="payment", is_deleted=False)
        .exclude(status="voided")
        .order_by("-happened_at")[:_MOST_TRANSACTIONS]
    )
    return {
        "tries": payments,
        "known": CollectionAttempt.objects.filter(chargebee_transaction_id__in=payments.values("pk")),
        "slot": RetryReservation.objects.filter(instrument_hash__in=payments.values("instrument_hash"), status__in=_TAKEN).values_list(
            "pk"
        )[:1],
    }


_QUESTIONS = Kept(questions)


def news(found: Mapping[str, list[Any]]) -> Insert:
    """What the ledger does not have yet, or has otherwise, to be written in the present transaction. Slots that belong to it are claimed.

    A slot is committed before its charge is made, so none that matters is missing from what was read after the charge was fetched.
    """
    known = {row.chargebee_transaction_id: row for row in found["known"]}
    changed = [row for row in map(_row, found["tries"]) if _differs(known.get(row.chargebee_transaction_id), row)]
    if found["slot"]:
        _claim_slots([row for row in changed if row.chargebee_transaction_id not in known])
    return Insert(changed, unique=("chargebee_transaction_id",), update=(*_ANSWER, *_PLACE))


def check(customer_id: str, invoice_id: str, amount: Money, *, now: datetime | None = None) -> Check:
    """What the ledger says of charging this amount now: the check that stops it or makes it wait, else how full the window is.

    `data` holds `used` and `limit`, `not_before` the next safe slot.
    """
    at = now or clock.now()
    return weigh(case_view.load(customer_id, invoice_id, now=at, collects=True), invoice_id, amount, rules.current(at), at)


def weigh(view: View, invoice_id: str, amount: Money, in_force: Rules, at: datetime) -> Check:
    """`check`, of what was read."""
    checks = check_retry(charge_of(view, amount, invoice_id, at=at, is_draft=True), view.attempts, in_force, view.zone())
    for outcome in ("deny", "wait", "person"):
        found = [one for one in checks if one.outcome == outcome]
        if found:
            return found[-1]
    return checks[-1]


def reserve(execution: Execution, *, now: datetime | None = None) -> RetryReservation | Check:
    """Take a slot for this execution, or say why there is none. The same execution keeps the slot that it has.

    Short transaction of its own; call it before the charge, then `use` or `release`.
    """
    at = now or clock.now()
    proposal = execution.proposal
    with transaction.atomic():
        source = _primary_source(proposal.chargebee_customer_id)
        if source is None or not source.instrument_hash:
            return Check("retry.instrument", "deny", "The customer has no payment method that can be charged.")
        _lock(source.instrument_hash)
        slot = RetryReservation.objects.filter(execution=execution).first()
        if slot is not None and slot.status != RetryReservation.RELEASED:
            return slot
        record_from_transactions(proposal.chargebee_customer_id)
        view = case_view.load(
            proposal.chargebee_customer_id, proposal.chargebee_invoice_id, now=at, collects=True, proposal_id=str(proposal.pk)
        )
        charge = charge_of(view, proposal.amount, proposal.chargebee_invoice_id, at=at, is_draft=False)
        for refused in check_retry(charge, view.attempts, rules.current(at), view.zone()):
            if refused.outcome in ("deny", "wait"):
                return refused
        slot = slot or RetryReservation(execution=execution)
        slot.instrument_hash, slot.network = source.instrument_hash, charge.network
        slot.merchant_account, slot.chargebee_transaction_id = charge.merchant_account, ""
        slot.amount_minor, slot.currency = proposal.amount_minor, proposal.currency
        slot.status, slot.reserved_at = RetryReservation.HELD, at
        slot.save()
        return slot


def use(execution: Execution, transaction_id: str = "") -> bool:
    """The charge was made, with whatever answer: the slot is spent. False when there is no slot."""
    with transaction.atomic():
        slot = RetryReservation.objects.select_for_update().filter(execution=execution).first()
        if slot is None:
            return False
        slot.status = RetryReservation.USED
        slot.chargebee_transaction_id = transaction_id or slot.chargebee_transaction_id
        slot.save(update_fields=["status", "chargebee_transaction_id"])
        if transaction_id:
            CollectionAttempt.objects.filter(chargebee_transaction_id=transaction_id).update(source=OURS)
        return True


def release(execution: Execution) -> bool:
    """The charge was not made, for certain: the slot is free again. False when there is none, or when it was spent."""
    held = RetryReservation.objects.filter(execution=execution, status=RetryReservation.HELD)
    return bool(held.update(status=RetryReservation.RELEASED))


def charge_of(view: View, amount: Money, invoice_id: str, *, at: datetime, is_draft: bool) -> Charge:
    """The charge that would be made, from what is known of the customer's payment source."""
    source = view.source
    newest = max(view.attempts, key=lambda one: (bool(one.merchant_account), one.at), default=None)
    return Charge(
        amount=amount,
        invoice_id=invoice_id,
        network=source.network_for(amount.currency) if source is not None else "",
        at=at,
        merchant_account=newest.merchant_account if newest is not None else "",
        issuing_country=source.issuing_country if source is not None else "",
        has_instrument=source is not None and source.is_usable(at),
        is_draft=is_draft,
        noticed_at=view.told_at(),
    )


_ANSWER = ("succeeded", "decline_code", "network_code", "advice_code", "decline_category", "retryable", "min_wait_hours")
"""What may still change when a pending payment gets its answer."""
_PLACE = ("instrument_hash", "merchant_account", "network", "chargebee_invoice_id", "amount_minor", "currency", "happened_at")


def _row(payment: Transaction) -> CollectionAttempt:
    succeeded = payment.status == "success"
    row = CollectionAttempt(
        chargebee_transaction_id=payment.pk,
        chargebee_customer_id=payment.chargebee_customer_id,
        chargebee_invoice_id=next(iter(payment.invoice_ids), ""),
        instrument_hash=payment.instrument_hash,
        merchant_account=payment.gateway_account_id,
        network=payment.network,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        happened_at=payment.happened_at,
        succeeded=succeeded,
        source="customer" if payment.initiator == "customer" else "chargebee_dunning" if payment.initiator == "merchant" else "unknown",
    )
    if payment.status in _ON_ITS_WAY:
        row.retryable = PENDING
    elif not succeeded:
        decline = classify(payment.gateway, payment.decline_code, payment.payment_method)
        row.decline_code, row.decline_category = payment.decline_code, decline.category
        row.network_code, row.advice_code = payment.network_code, payment.advice_code
        row.retryable, row.min_wait_hours = decline.retryable, decline.min_wait_hours
    return row


def _differs(known: CollectionAttempt | None, row: CollectionAttempt) -> bool:
    return known is None or any(getattr(known, name) != getattr(row, name) for name in (*_ANSWER, *_PLACE))


def _claim_slots(new: list[CollectionAttempt]) -> None:
    """A new attempt of the merchant's, made while a slot of ours was open on the same charge, is the one the slot was taken for."""
    machine = [row for row in new if row.source == "chargebee_dunning"]
    if not machine:
        return
    slots = list(
        RetryReservation.objects.select_for_update()
        .filter(
            instrument_hash__in={row.instrument_hash for row in machine},
            status__in=_TAKEN,
        )
        .order_by("reserved_at")
    )
    named = {slot.chargebee_transaction_id: slot for slot in slots if slot.chargebee_transaction_id}
    open_slots = [slot for slot in slots if not slot.chargebee_transaction_id]
    for row in sorted(machine, key=lambda one: one.happened_at):
        if row.chargebee_transaction_id in named:
            row.source = OURS
            continue
        mine = next((slot for slot in open_slots if _belongs(slot, row)), None)
        if mine is not None:
            open_slots.remove(mine)
            row.source = OURS
            mine.chargebee_transaction_id, mine.status = row.chargebee_transaction_id, RetryReservation.USED
            mine.save(update_fields=["chargebee_transaction_id", "status"])


def _belongs(slot: RetryReservation, row: CollectionAttempt) -> bool:
    same = (slot.instrument_hash, slot.amount_minor, slot.currency) == (row.instrument_hash, row.amount_minor, row.currency)
    # Chargebee's times are whole seconds.
    return same and slot.reserved_at - timedelta(seconds=2) <= row.happened_at <= slot.reserved_at + _FOUND_WITHIN


def _primary_source(customer_id: str) -> PaymentSource | None:
    chosen = Customer.objects.filter(pk=customer_id).values("primary_payment_source_id")
    return PaymentSource.objects.filter(pk__in=chosen, is_deleted=False).first()


def _lock(instrument_hash: str) -> None:
    """Hold the instrument's row until the transaction ends. On SQLite the transaction itself is the lock."""
    Instrument.objects.get_or_create(instrument_hash=instrument_hash)
    Instrument.objects.select_for_update().get(instrument_hash=instrument_hash)
