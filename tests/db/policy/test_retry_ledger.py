"""The ledger from transactions, and slots that are taken, used and let go."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from approvals.contract import Check
from approvals.models import CollectionAttempt, RetryReservation
from approvals.policy import retry_ledger
from billing_ai.facts.models import PaymentSource, Transaction
from billing_ai.kernel.money import Money
from tests.db.policy.conftest import NOW, make_case, make_customer, make_execution, make_proposal

pytestmark = pytest.mark.django_db


def transact(ident: str, age: timedelta, **columns: Any) -> Transaction:
    values = {
        "chargebee_customer_id": "cust_1", "invoice_ids": ["inv_1"], "kind": "payment", "status": "failure", "amount_minor": 4_900,
        "currency": "EUR", "happened_at": NOW - age, "gateway": "stripe", "gateway_account_id": "gw_stripe", "payment_method": "card",
        "initiator": "merchant", "decline_code": "insufficient_funds", "instrument_hash": "hash_cust_1", "network": "visa", "fetched_at": NOW,
    } | columns  # fmt: skip
    return Transaction.objects.create(chargebee_transaction_id=ident, **values)


def test_every_payment_becomes_one_row_however_often_it_is_recorded() -> None:
    transact("t1", timedelta(days=2))
    transact("t2", timedelta(days=1), status="success", decline_code="", initiator="customer")
    transact("t3", timedelta(hours=1), kind="refund", status="success")
    transact("t4", timedelta(hours=1), status="voided")

    assert [retry_ledger.record_from_transactions("cust_1") for _ in range(2)] == [2, 0]
    assert list(
        CollectionAttempt.objects.order_by("happened_at").values_list("chargebee_transaction_id", "succeeded", "source", "retryable")
    ) == [
        ("t1", False, "chargebee_dunning", "yes"),
        ("t2", True, "customer", ""),
    ]


def test_a_pending_payment_stops_another_try_until_its_answer_is_there() -> None:
    make_customer()
    pending = transact("t1", timedelta(hours=2), status="in_progress", decline_code="")
    retry_ledger.record_from_transactions("cust_1")

    before = retry_ledger.check("cust_1", "inv_1", Money(4_900, "EUR"), now=NOW)
    pending.status, pending.decline_code = "failure", "insufficient_funds"
    pending.save()
    retry_ledger.record_from_transactions("cust_1")
    after = retry_ledger.check("cust_1", "inv_1", Money(4_900, "EUR"), now=NOW)

    assert (before.rule, before.outcome) == ("retry.pending", "deny")
    assert (after.rule, after.outcome) == ("retry.window.visa", "allow")
    assert after.sentence == "1 of 15 attempts in 30 days used; a slot is free."


def test_an_unknown_code_is_denied_by_its_rule() -> None:
    make_customer()
    transact("t1", timedelta(hours=2), decline_code="a_code_of_tomorrow")
    retry_ledger.record_from_transactions("cust_1")

    check = retry_ledger.check("cust_1", "inv_1", Money(4_900, "EUR"), now=NOW)

    assert (check.rule, check.outcome) == ("retry.unknown_code", "deny")


@pytest.mark.parametrize(
    "columns", [{"status": "invalid"}, {"expires_on": (NOW - timedelta(days=1)).date()}, {"is_deleted": True}, {"instrument_hash": ""}]
)
def test_a_payment_source_that_is_no_longer_good_is_not_charged(columns: dict[str, Any]) -> None:
    make_customer()
    PaymentSource.objects.update(**columns)

    assert retry_ledger.check("cust_1", "inv_1", Money(4_900, "EUR"), now=NOW).rule == "retry.instrument"


def test_the_card_is_good_until_the_last_day_of_its_month() -> None:
    make_customer()
    PaymentSource.objects.update(expires_on=NOW.date())

    assert retry_ledger.check("cust_1", "inv_1", Money(4_900, "EUR"), now=NOW).outcome == "allow"


def test_a_slot_is_kept_used_and_let_go() -> None:
    make_customer()
    execution = make_execution(make_proposal(make_case()))

    slot = retry_ledger.reserve(execution, now=NOW)
    again = retry_ledger.reserve(execution, now=NOW + timedelta(minutes=1))

    assert isinstance(slot, RetryReservation)
    assert isinstance(again, RetryReservation)
    assert again.pk == slot.pk
    assert retry_ledger.release(execution)
    assert not retry_ledger.release(execution)
    assert isinstance(retry_ledger.reserve(execution, now=NOW + timedelta(minutes=2)), RetryReservation)
    assert retry_ledger.use(execution, "txn_9")
    assert RetryReservation.objects.get().status == RetryReservation.USED
    assert not retry_ledger.release(execution)


def test_a_slot_counts_once_before_and_after_its_transaction_is_in_the_ledger() -> None:
    make_customer()
    execution = make_execution(make_proposal(make_case()))
    other = Money(4_900, "EUR")

    retry_ledger.reserve(execution, now=NOW)
    held = retry_ledger.check("cust_1", "inv_2", other, now=NOW)
    retry_ledger.use(execution, "t1")
    spent = retry_ledger.check("cust_1", "inv_2", other, now=NOW)
    transact("t1", timedelta(seconds=-3))
    retry_ledger.record_from_transactions("cust_1")
    recorded = retry_ledger.check("cust_1", "inv_2", other, now=NOW + timedelta(hours=2))

    assert [check.data["used"] for check in (held, spent, recorded)] == [1, 1, 1]
    assert CollectionAttempt.objects.get().source == "ours"


def test_a_declined_charge_whose_number_we_never_learned_is_found_by_its_slot() -> None:
    make_customer()
    execution = make_execution(make_proposal(make_case()))
    retry_ledger.reserve(execution, now=NOW)
    retry_ledger.use(execution)
    transact("t1", timedelta(seconds=-1))

    retry_ledger.record_from_transactions("cust_1")

    assert CollectionAttempt.objects.get().source == "ours"
    assert RetryReservation.objects.get().chargebee_transaction_id == "t1"
    assert retry_ledger.check("cust_1", "inv_1", Money(4_900, "EUR"), now=NOW + timedelta(hours=2)).data["used"] == 1


def test_what_is_refused_takes_no_slot() -> None:
    make_customer()
    transact("t1", timedelta(days=1), decline_code="lost_card")
    execution = make_execution(make_proposal(make_case()))

    refused = retry_ledger.reserve(execution, now=NOW)

    assert isinstance(refused, Check)
    assert (refused.rule, refused.outcome) == ("retry.hard_decline", "deny")
    assert not RetryReservation.objects.exists()


def test_a_bank_debit_knows_its_rail_by_the_currency() -> None:
    make_customer()
    PaymentSource.objects.update(kind="direct_debit", network="")

    assert retry_ledger.check("cust_1", "inv_1", Money(4_900, "EUR"), now=NOW).rule == "retry.window.sepa"
    assert retry_ledger.check("cust_1", "inv_1", Money(4_900, "GBP"), now=NOW).rule == "retry.window.bacs"
    assert retry_ledger.check("cust_1", "inv_1", Money(4_900, "CHF"), now=NOW).rule == "retry.unknown_network"


def test_an_attempt_long_ago_still_forbids_another_when_it_was_for_good(now: datetime) -> None:
    make_customer()
    transact("t1", timedelta(days=700), decline_code="41", network_code="41", gateway="worldpay")
    transact("t2", timedelta(days=1), status="success", decline_code="")
    retry_ledger.record_from_transactions("cust_1")

    assert retry_ledger.check("cust_1", "inv_1", Money(4_900, "EUR"), now=now).rule == "retry.never"
