"""Every call that the gateway can make, with every argument that it takes, is one that the SDK's own types allow."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from billing_ai.integrations.chargebee import client, reads, writes
from billing_ai.integrations.chargebee.events import HANDLED
from billing_ai.kernel.errors import Terminal
from billing_ai.management.commands.exercise_gateway import calls_not_exercised
from tests.contracts.conftest import Edge
from tests.contracts.sdk_shapes import check, sent_parameters
from tests.contracts.watching import Watched

T0 = datetime(2026, 3, 1, tzinfo=UTC)
T1 = datetime(2026, 4, 1, tzinfo=UTC)
ITEMS = [{"item_price_id": "pro-EUR-Monthly", "quantity": 2}, {"item_price_id": "seats-EUR-Monthly", "quantity": 5, "unit_price": 900}]
K = "9f2c"

CALLS: dict[str, Callable[[], Any]] = {
    "retrieve_customer": lambda: reads.retrieve_customer("cus"),
    "retrieve_subscription": lambda: reads.retrieve_subscription("sub"),
    "retrieve_invoice": lambda: reads.retrieve_invoice("inv"),
    "retrieve_transaction": lambda: reads.retrieve_transaction("txn"),
    "retrieve_payment_source": lambda: reads.retrieve_payment_source("pm"),
    "retrieve_credit_note": lambda: reads.retrieve_credit_note("cn"),
    "retrieve_hosted_page": lambda: reads.retrieve_hosted_page("hp"),
    "retrieve_coupon": lambda: reads.retrieve_coupon("coupon"),
    "retrieve_item_price": lambda: reads.retrieve_item_price("pro-EUR-Monthly"),
    "retrieve_event": lambda: reads.retrieve_event("ev"),
    "list_customers": lambda: list(reads.list_customers(updated_after=T0, business_entity_id="be")),
    "find_customers": lambda: list(reads.find_customers(email="a@b.example", first_name="A", last_name="O'Neil", company="B")),
    "list_subscriptions": lambda: list(reads.list_subscriptions(customer_id="cus", status_in=["active", "paused"], updated_after=T0)),
    "list_invoices": lambda: list(
        reads.list_invoices(
            customer_id="cus",
            subscription_id="sub",
            status_in=["payment_due", "not_paid"],
            dunning_status_in=["in_progress"],
            updated_after=T0,
            dated_after=T0,
            newest_first=True,
        )
    ),
    "list_transactions": lambda: list(
        reads.list_transactions(
            customer_id="cus",
            subscription_id="sub",
            payment_source_id="pm",
            status_in=["success", "failure", "late_failure"],
            type_in=["payment", "refund"],
            dated_after=T0,
            updated_after=T0,
        )
    ),
    "payments_for_invoice": lambda: list(reads.payments_for_invoice("inv")),
    "list_payment_sources": lambda: list(reads.list_payment_sources(customer_id="cus")),
    "list_comments": lambda: list(reads.list_comments(entity_type="invoice", entity_id="inv")),
    "list_credit_notes": lambda: list(reads.list_credit_notes(customer_id="cus", reference_invoice_id="inv", updated_after=T0)),
    "list_promotional_credits": lambda: list(reads.list_promotional_credits(customer_id="cus")),
    "list_usages": lambda: list(reads.list_usages(subscription_id="sub", used_after=T0, used_before=T1)),
    "list_items": lambda: list(reads.list_items(type_in=["plan", "addon", "charge"], status="active")),
    "list_item_prices": lambda: list(reads.list_item_prices(item_id="pro", item_type_in=["plan"], currency="EUR", status="active")),
    "list_features": lambda: list(reads.list_features(status="active")),
    "list_coupons": lambda: list(reads.list_coupons(status="active")),
    "subscription_entitlements": lambda: list(reads.subscription_entitlements("sub")),
    "contract_terms": lambda: list(reads.contract_terms("sub")),
    "list_ramps": lambda: list(reads.list_ramps(subscription_ids=["sub"])),
    "list_events": lambda: list(reads.list_events(occurred_after=T0, occurred_before=T1, event_types=list(HANDLED))),
    "events_to_reconcile": lambda: list(reads.events_to_reconcile(T0, event_types=["payment_failed"])),
    "estimate_update": lambda: reads.estimate_update("sub", ITEMS, replace_items_list=True, change_option="end_of_term", prorate=True),
    "estimate_renewal": lambda: reads.estimate_renewal("sub", include_delayed_charges=True, use_existing_balances=False),
    "estimate_cancel": lambda: reads.estimate_cancel(
        "sub", cancel_option="specific_date", cancel_at=T1, credit_option_for_current_term_charges="prorate"
    ),
    "estimate_pause": lambda: reads.estimate_pause("sub", pause_option="specific_date", pause_date=T0, resume_date=T1),
    "invoice_pdf_url": lambda: reads.invoice_pdf_url("inv"),
    "site_configuration": lambda: reads.site_configuration(),
    "list_webhook_endpoints": lambda: list(reads.list_webhook_endpoints()),
    "collect_payment": lambda: writes.collect_payment(
        "inv", idempotency_key=K, amount_minor=100, payment_source_id="pm", comment="c" * 300
    ),
    "refund_invoice": lambda: writes.refund_invoice(
        "inv", idempotency_key=K, amount_minor=100, reason_code="waiver", comment="c", customer_notes="n"
    ),
    "create_credit_note": lambda: writes.create_credit_note(
        "inv",
        idempotency_key=K,
        type="adjustment",
        reason_code="service_unsatisfactory",
        total_minor=100,
        line_items=[{"reference_line_item_id": "li", "amount": 100}],
        customer_notes="n",
        comment="c",
    ),
    "add_promotional_credit": lambda: writes.add_promotional_credit(
        "cus", idempotency_key=K, amount_minor=100, currency="JPY", description="d", reference="r"
    ),
    "stop_dunning": lambda: writes.stop_dunning("inv", idempotency_key=K, comment="c"),
    "pause_dunning": lambda: writes.pause_dunning("inv", expected_payment_date=T1, idempotency_key=K, comment="c"),
    "resume_dunning": lambda: writes.resume_dunning("inv", idempotency_key=K, comment="c"),
    "close_invoice": lambda: writes.close_invoice("inv", idempotency_key=K, invoice_note="n", comment="c"),
    "create_comment": lambda: writes.create_comment("invoice", "inv", "n" * 1000, idempotency_key=K, added_by="agent"),
    "create_collect_now_page": lambda: writes.create_collect_now_page(
        "cus", idempotency_key=K, currency="EUR", redirect_url="https://x.test/"
    ),
    "create_manage_payment_sources_page": lambda: writes.create_manage_payment_sources_page(
        "cus", idempotency_key=K, redirect_url="https://x.test/"
    ),
    "create_update_payment_method_page": lambda: writes.create_update_payment_method_page(
        "cus", idempotency_key=K, redirect_url="https://x.test/"
    ),
    "update_customer": lambda: writes.update_customer(
        "cus", idempotency_key=K, meta_data={"risk": "höher", "n": [1]}, auto_collection="on", locale="de", custom_fields={"cf_risk": 7}
    ),
    "pause_subscription": lambda: writes.pause_subscription(
        "sub",
        idempotency_key=K,
        pause_option="specific_date",
        pause_date=T0,
        resume_date=T1,
        unbilled_charges_handling="invoice",
        invoice_dunning_handling="stop",
    ),
    "resume_subscription": lambda: writes.resume_subscription(
        "sub",
        idempotency_key=K,
        resume_option="specific_date",
        resume_date=T1,
        charges_handling="add_to_unbilled_charges",
        unpaid_invoices_handling="schedule_payment_collection",
    ),
    "cancel_for_items": lambda: writes.cancel_for_items(
        "sub",
        idempotency_key=K,
        cancel_option="specific_date",
        cancel_at=T1,
        cancel_reason_code="Not Paid",
        credit_option_for_current_term_charges="none",
        unbilled_charges_option="invoice",
        account_receivables_handling="no_action",
        refundable_credits_handling="no_action",
    ),
    "update_for_items": lambda: writes.update_for_items(
        "sub",
        ITEMS,
        idempotency_key=K,
        replace_items_list=True,
        change_option="specific_date",
        changes_scheduled_at=T1,
        prorate=False,
        invoice_immediately=True,
        coupon_ids=["TEN", "FIVE"],
    ),
    "remove_scheduled_cancellation": lambda: writes.remove_scheduled_cancellation("sub", idempotency_key=K),
    "create_usage": lambda: writes.create_usage("sub", idempotency_key=K, item_price_id="api-EUR", quantity="12.5", used_at=T0, note="n"),
    "create_webhook_endpoint": lambda: writes.create_webhook_endpoint(
        "billing", "https://x.test/webhooks/", idempotency_key=K, user="u", password="p", enabled_events=list(HANDLED)
    ),
    "update_webhook_endpoint": lambda: writes.update_webhook_endpoint(
        "whe", idempotency_key=K, enabled_events=["payment_failed"], is_disabled=True
    ),
    "delete_webhook_endpoint": lambda: writes.delete_webhook_endpoint("whe", idempotency_key=K),
}
ALL_WRITES = {name for name in writes.__all__ if inspect.isfunction(getattr(writes, name))}
ALL_READS = {name for name in reads.__all__ if inspect.isfunction(getattr(reads, name))}
RESOURCES = [
    "customer",
    "subscription",
    "invoice",
    "transaction",
    "payment_source",
    "credit_note",
    "hosted_page",
    "coupon",
    "item_price",
    "event",
    "comment",
    "promotional_credit",
    "usage",
    "item",
    "feature",
    "subscription_entitlement",
    "contract_term",
    "ramp",
    "estimate",
    "configuration",
    "webhook_endpoint",
]


def plausible(request: httpx.Request) -> httpx.Response:
    """An answer that holds every resource there is, so that whichever the call wants is in it."""
    body: dict[str, Any] = {name: {"id": f"{name}_1"} for name in RESOURCES}
    body["hosted_page"]["url"] = "https://pages.test/1"
    body["event"]["event_type"] = "payment_failed"
    body["download"] = {"download_url": "https://files.test/1.pdf", "valid_till": 1_770_000_000}
    body["configurations"] = [{"domain": "contract-test", "product_catalog_version": "v2"}]
    is_list = request.method == "GET" and request.url.query and b"limit=" in request.url.query
    return httpx.Response(200, json={"list": [body]} if is_list else body)


@pytest.fixture
def watched() -> Any:
    with Watched.over(client.site("key-that-reads"), client.site("key-that-writes")) as hook:
        yield hook


@pytest.mark.parametrize("name", CALLS)
def test_a_call_sends_only_what_the_sdk_knows(name: str, edge: Edge, watched: Watched) -> None:
    # given a site that answers
    edge.answer = plausible
    # when the call is made with everything that it takes
    CALLS[name]()
    # then one request went out, and each of its parameters is one of the operation's own
    assert len(edge.requests) == len(watched.operations) == 1
    resource, operation = watched.operations[0]
    assert check(resource, operation, sent_parameters(edge.requests[0])) == []


@pytest.mark.parametrize("name", CALLS)
def test_writes_bear_a_key_and_reads_the_key_that_cannot_write(name: str, edge: Edge) -> None:
    edge.answer = plausible
    CALLS[name]()
    [request] = edge.requests
    which = httpx.BasicAuth("key-that-writes" if name in ALL_WRITES else "key-that-reads", "")
    assert request.headers["authorization"] == which._auth_header
    sent = request.headers.get("chargebee-idempotency-key")
    if name == "invoice_pdf_url":
        # a POST that changes nothing: under a fresh key each time, or a replay would name an address that has expired
        assert sent
        assert len(sent) <= 100
    else:
        assert sent == (K if name in ALL_WRITES else None)


def test_no_call_is_left_out() -> None:
    assert set(CALLS) == ALL_READS | ALL_WRITES


@pytest.mark.parametrize("name", CALLS)
def test_no_argument_is_left_out(name: str) -> None:
    """The table above passes every argument that the function has, so that a new one cannot slip by unchecked."""
    module = writes if name in ALL_WRITES else reads
    arguments = inspect.signature(getattr(module, name)).parameters
    source = inspect.getsource(inspect.getmodule(CALLS[name]))  # type: ignore[arg-type]
    start = source.index(f'"{name}": lambda:')
    following = source.find('": lambda:', start + len(name) + 12)
    mine = source[start:following]
    assert [a.name for a in arguments.values() if a.kind is a.KEYWORD_ONLY and f"{a.name}=" not in mine] == []


def test_the_exercise_makes_every_call() -> None:
    assert calls_not_exercised() == set()


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        ({"amount": "12.5"}, ["amount=12.5 is not int"]),
        ({"amount": "5", "payment_initiator": "robot"}, ["payment_initiator=robot is none of PaymentInitiator"]),
        ({"invoice_note": "x"}, ["invoice_note is unknown"]),
        ({"comment": "x" * 301}, ["comment has 301 characters"]),
    ],
)
def test_the_check_itself_refuses_what_is_wrong(sent: dict[str, str], wrong: list[str]) -> None:
    assert check("invoice", "collect_payment", sent) == wrong


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        ({"status": "paid"}, ["status should be a filter with an operator"]),
        ({"status": {"like": "paid"}}, ["status[like] is no operator of EnumFilter"]),
        ({"status": {"in": '["payed"]'}}, ["status[in]=payed is no status"]),
        ({"status": {"in": "['paid']"}}, ["status[in] should be a JSON list"]),
        ({"payment_owner": {"in": '["cus"]'}}, ["payment_owner[in] is not taken for this attribute"]),
        ({"sort_by": {"asc": "total"}}, ["sort_by[asc]=total is no order of invoice"]),
        ({"updated_at": {"after": "1770000000000"}}, ["updated_at[after]=1770000000000 is not seconds"]),
    ],
)
def test_the_check_itself_refuses_wrong_filters(sent: dict[str, Any], wrong: list[str]) -> None:
    assert check("invoice", "list", sent) == wrong


def test_a_required_parameter_is_missed() -> None:
    assert check("invoice", "pause_dunning", {}) == ["expected_payment_date is missing"]


@pytest.mark.parametrize("key", ["", "k" * 101, "zwei\nzeilen", "schlüssel"])
def test_a_write_without_a_usable_key_sends_nothing(key: str, edge: Edge) -> None:
    with pytest.raises(Terminal) as caught:
        writes.stop_dunning("inv", idempotency_key=key)
    assert caught.value.code == "chargebee.bad_key"
    assert edge.requests == []


@pytest.mark.parametrize("call", [lambda: reads.retrieve_invoice(""), lambda: writes.stop_dunning(" ", idempotency_key=K)])
def test_a_call_without_an_id_sends_nothing(call: Callable[[], Any], edge: Edge) -> None:
    with pytest.raises(Terminal) as caught:
        call()
    assert caught.value.code == "chargebee.no_id"
    assert edge.requests == []


def test_words_that_are_too_long_send_nothing(edge: Edge) -> None:
    with pytest.raises(Terminal) as caught:
        writes.collect_payment("inv", idempotency_key=K, comment="c" * 301)
    assert caught.value.code == "chargebee.too_long"
    assert edge.requests == []
