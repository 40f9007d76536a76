"""What Chargebee would refuse, the simulator refuses, in Chargebee's form."""

from __future__ import annotations

import ast
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chargebee import APIError, Chargebee, InvalidRequestError

import billing_ai.simulator.api  # noqa: F401 - registers the handlers
from billing_ai.simulator.api.registry import HANDLERS
from billing_ai.simulator.sdk_types import Routes, SdkSource
from tests.simulator.running import RunningSimulator

Call = Callable[[Chargebee], Any]
NOW = int(time.time())

REFUSED: dict[str, tuple[Call, str, str]] = {
    "unknown parameter": (lambda cb: cb.Invoice.collect_payment("1", {"foo": "x"}), "foo", "unknown parameter"),
    "unknown filter": (lambda cb: cb.Invoice.list({"colour": {"is": "red"}}), "colour[is]", "unknown parameter"),
    "unknown operator": (lambda cb: cb.Invoice.list({"status": {"starts_with": "p"}}), "status[starts_with]", "not supported"),
    "bad filter value": (lambda cb: cb.Invoice.list({"status": {"is": "late"}}), "status[is]", "not a valid value"),
    "one bad value of several": (
        lambda cb: cb.Invoice.list({"status": {"in": ["paid", "late"]}}),
        "status[in]",
        "late is not a valid value",
    ),
    "missing": (lambda cb: cb.Invoice.pause_dunning("1", {}), "expected_payment_date", "cannot be blank"),
    "missing inside a list": (
        lambda cb: cb.Ramp.create_for_subscription("1", {"effective_from": NOW, "items_to_add": [{"quantity": 1}]}),
        "items_to_add[item_price_id][0]",
        "cannot be blank",
    ),
    "bad enum": (lambda cb: cb.Subscription.pause("1", {"pause_option": "soon"}), "pause_option", "not a valid value"),
    "bad enum in a list": (
        lambda cb: cb.WebhookEndpoint.create({"name": "a", "url": "http://x.example", "enabled_events": ["payment_failed", "nope"]}),
        "enabled_events[1]",
        "nope is not a valid value",
    ),
    "too long": (lambda cb: cb.Comment.create({"entity_type": "invoice", "entity_id": "1", "notes": "n" * 1001}), "notes", "too long"),
    "comment too long": (lambda cb: cb.Invoice.collect_payment("1", {"comment": "n" * 301}), "comment", "too long"),
    "milliseconds": (
        lambda cb: cb.Invoice.pause_dunning("1", {"expected_payment_date": NOW * 1000}),
        "expected_payment_date",
        "milliseconds",
    ),
    "milliseconds in a filter": (lambda cb: cb.Event.list({"occurred_at": {"after": NOW * 1000}}), "occurred_at[after]", "seconds"),
    "not a number": (lambda cb: cb.Invoice.collect_payment("1", {"amount": "ten"}), "amount", "not a valid integer"),
    "nested where flat is wanted": (
        lambda cb: cb.Invoice.collect_payment("1", {"comment": {"text": "x"}}),
        "comment[text]",
        "wrong nesting",
    ),
    "flat where nested is wanted": (lambda cb: cb.HostedPage.collect_now({"customer": "abc"}), "customer", "nested"),
    "object where a list is wanted": (
        lambda cb: cb.Subscription.update_for_items("1", {"subscription_items": {"item_price_id": "a"}}),
        "subscription_items[item_price_id]",
        "wrong nesting",
    ),
    "a dict where JSON is wanted": (lambda cb: cb.Customer.update("1", {"meta_data": {"a": 1}}), "meta_data", "valid JSON"),
    "custom field where there is none": (lambda cb: cb.Invoice.collect_payment("1", {"cf_note": "x"}), "cf_note", "custom fields"),
    "page too large": (lambda cb: cb.Customer.list({"limit": 101}), "limit", "between 1 and 100"),
    "made-up offset": (lambda cb: cb.Customer.list({"offset": "zzz"}), "offset", "not an offset"),
    "sorting by what cannot be sorted by": (lambda cb: cb.Invoice.list({"sort_by": {"asc": "total"}}), "sort_by[asc]", "not supported"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_names_its_parameter(site: Chargebee, name: str) -> None:
    call, param, words = REFUSED[name]
    with pytest.raises(InvalidRequestError) as refused:
        call(site)
    error = refused.value
    assert (error.http_status_code, error.type, error.api_error_code, error.param) == (400, "invalid_request", "param_wrong_value", param)
    assert words in str(error)
    assert error.json_obj["http_status_code"] == 400


def test_a_refused_write_changes_nothing(simulator: RunningSimulator, site: Chargebee, subscriptions: list[Any]) -> None:
    customer_id = subscriptions[0].customer_id
    before = site.Customer.retrieve(customer_id).customer.raw_data
    with pytest.raises(InvalidRequestError):
        site.Customer.update(customer_id, {"first_name": "New", "no_such_thing": "x"})
    assert site.Customer.retrieve(customer_id).customer.raw_data == before


def test_unknown_key_and_read_only_key(simulator: RunningSimulator, site: Chargebee) -> None:
    with pytest.raises(APIError) as unknown:
        simulator.client("wrong").Customer.list()
    assert (unknown.value.http_status_code, unknown.value.api_error_code) == (401, "api_authentication_failed")

    reader = simulator.client(simulator.read_only_key)
    invoice_id = reader.Invoice.list().list[0].invoice.id
    before = len(simulator.calls())
    with pytest.raises(APIError) as forbidden:
        reader.Comment.create({"entity_type": "invoice", "entity_id": invoice_id, "notes": "x"})
    assert (forbidden.value.http_status_code, forbidden.value.api_error_code) == (403, "api_authorization_failed")
    assert site.Comment.list({"entity_type": "invoice", "entity_id": invoice_id}).list == []
    assert len(simulator.calls()) == before


def test_the_old_catalogue_fails(site: Chargebee) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        site.Subscription.update("1", {"plan_id": "basic"})
    assert refused.value.api_error_code == "configuration_incompatible"


def test_what_is_not_there_is_a_404(site: Chargebee) -> None:
    with pytest.raises(InvalidRequestError) as missing:
        site.Invoice.retrieve("nothing")
    assert (missing.value.http_status_code, missing.value.api_error_code) == (404, "resource_not_found")


def test_a_path_that_exists_with_another_method_is_a_405(simulator: RunningSimulator) -> None:
    answer = simulator.http.delete(f"{simulator.api_url}/invoices", auth=(simulator.api_key, ""))
    assert (answer.status_code, answer.json()["api_error_code"]) == (405, "http_method_not_supported")


def test_every_handler_answers_an_operation_of_the_sdk() -> None:
    routes = Routes(SdkSource().operations())
    assert sorted(set(HANDLERS) - set(routes.by_key)) == []


def test_every_operation_of_the_sdk_is_found_by_its_own_path() -> None:
    """The paths are read from the SDK's source; two operations never claim the same one."""
    operations = SdkSource().operations()
    routes = Routes(operations)
    sends = 0
    for path in (Path(importlib.util.find_spec("chargebee").origin).parent / "models").glob("*/operations.py"):  # type: ignore[union-attr,arg-type]
        for node in ast.walk(ast.parse(path.read_text())):
            is_send = (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("send", "send_list_request")
            )
            sends += is_send
    assert len(operations) == sends
    for operation in operations:
        found = routes.match(operation.method, [segment or "some-id" for segment in operation.segments])
        assert found is not None
        assert found[0].segments == operation.segments


USED = {
    "customer": "create retrieve list update delete",
    "subscription": "create_with_items retrieve list update_for_items pause resume cancel_for_items reactivate remove_scheduled_changes"
    " retrieve_with_scheduled_changes remove_scheduled_cancellation remove_scheduled_pause contract_terms_for_subscription",
    "invoice": "retrieve list collect_payment stop_dunning pause_dunning resume_dunning refund pdf close void_invoice write_off record_payment",
    "transaction": "retrieve list payments_for_invoice",
    "payment_source": "retrieve list create_card delete",
    "hosted_page": "retrieve list collect_now manage_payment_sources update_payment_method",
    "comment": "create retrieve list delete",
    "credit_note": "create retrieve list refund void_credit_note pdf",
    "promotional_credit": "add deduct list retrieve",
    "estimate": "update_subscription_for_items renewal_estimate cancel_subscription_for_items pause_subscription resume_subscription",
    "item": "create retrieve list update",
    "item_price": "create retrieve list update",
    "item_family": "list",
    "feature": "create retrieve list",
    "entitlement": "list",
    "subscription_entitlement": "subscription_entitlements_for_subscription",
    "usage": "create retrieve list delete",
    "coupon": "create_for_items retrieve list",
    "event": "retrieve list",
    "webhook_endpoint": "create retrieve list update delete",
    "ramp": "create_for_subscription retrieve list update delete",
    "time_machine": "retrieve travel_forward start_afresh",
    "configuration": "list",
}


def test_what_the_product_uses_and_agents_to_come_will_use_is_answered() -> None:
    assert {f"{resource}.{name}" for resource, names in USED.items() for name in names.split()} <= set(HANDLERS)
