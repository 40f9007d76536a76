"""How values are written on the wire, where the SDK leaves it open."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest

from billing_ai.integrations.chargebee import reads, writes
from billing_ai.kernel.errors import Terminal
from tests.contracts.conftest import Edge
from tests.contracts.sdk_shapes import sent_parameters
from tests.contracts.test_chargebee_calls import plausible

T0 = datetime(2026, 3, 1, tzinfo=UTC)
T1 = datetime(2026, 4, 1, tzinfo=UTC)


def test_a_document_is_asked_for_under_a_fresh_key_each_time(edge: Edge) -> None:
    edge.answer = plausible
    reads.invoice_pdf_url("inv")
    reads.invoice_pdf_url("inv")
    first, second = (request.headers["chargebee-idempotency-key"] for request in edge.requests)
    assert first != second


@pytest.mark.parametrize("value", ["O'Neil", 'say "so"', "a,b", "häuser"])
def test_a_filter_over_several_values_goes_out_as_json(value: str, edge: Edge) -> None:
    edge.answer = plausible
    list(reads.list_ramps(subscription_ids=[value, "sub"]))
    assert json.loads(sent_parameters(edge.requests[0])["subscription_id"]["in"]) == [value, "sub"]


def test_a_span_goes_out_as_numbers(edge: Edge) -> None:
    edge.answer = plausible
    list(reads.list_events(occurred_after=T0, occurred_before=T1))
    assert sent_parameters(edge.requests[0])["occurred_at"] == {"between": "[1772323200,1775001600]"}


def test_planned_changes_of_no_subscription_are_not_asked_for(edge: Edge) -> None:
    with pytest.raises(Terminal) as caught:
        reads.list_ramps(subscription_ids=[])
    assert caught.value.code == "chargebee.no_id"
    assert edge.requests == []


def test_meta_data_goes_out_as_json(edge: Edge) -> None:
    edge.answer = plausible
    writes.update_customer("cus", idempotency_key="9f2c", meta_data={"b": True, "a": "x"})
    assert sent_parameters(edge.requests[0]) == {"meta_data": '{"a":"x","b":true}'}


@pytest.mark.parametrize(
    ("configured", "called"),
    [
        ("http://chargebee.test/api/v2", "http://chargebee.test/api/v2/invoices/inv"),
        ("http://chargebee.test/api/v2/", "http://chargebee.test/api/v2/invoices/inv"),
        ("http://chargebee.test:8100", "http://chargebee.test:8100/api/v2/invoices/inv"),
        ("http://chargebee.test:8100/", "http://chargebee.test:8100/api/v2/invoices/inv"),
        ("http://proxy.test/chargebee/api/v2", "http://proxy.test/chargebee/api/v2/invoices/inv"),
        ("", "https://contract-test.chargebee.com/api/v2/invoices/inv"),
    ],
)
def test_where_calls_go(configured: str, called: str, edge: Edge, settings: Any) -> None:
    settings.CHARGEBEE_API_URL = configured
    edge.answer = plausible
    reads.retrieve_invoice("inv")
    assert str(edge.requests[0].url) == called


@pytest.mark.parametrize("invoice_id", ["a/b", "a/../customers/c", "a b", "ü", "a?b=c", "a%2Fb", "#1", "inv/collect_payment"])
def test_an_id_stays_one_segment_of_the_path(invoice_id: str, edge: Edge) -> None:
    edge.answer = plausible
    reads.retrieve_invoice(invoice_id)
    path = edge.requests[0].url.raw_path.decode()
    assert path.startswith("/api/v2/invoices/")
    assert unquote(path.removeprefix("/api/v2/invoices/")) == invoice_id
    assert "/" not in path.removeprefix("/api/v2/invoices/")


@pytest.mark.parametrize("invoice_id", ["", " ", ".", "..", " .. "])
def test_an_id_that_would_name_something_else_is_not_asked_for(invoice_id: str, edge: Edge) -> None:
    for call in (lambda: reads.retrieve_invoice(invoice_id), lambda: writes.stop_dunning(invoice_id, idempotency_key="9f2c")):
        with pytest.raises(Terminal) as caught:
            call()
        assert caught.value.code == "chargebee.no_id"
    assert edge.requests == []
