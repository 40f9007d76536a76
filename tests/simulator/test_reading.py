"""Lists and single resources, as the real SDK sees them."""

from __future__ import annotations

from typing import Any

from chargebee import Chargebee

from billing_ai.simulator.options import Options
from billing_ai.simulator.site import Site
from billing_ai.simulator.world.making import make_world
from tests.simulator.running import RunningSimulator


def _all(call: Any, params: dict[str, Any]) -> list[Any]:
    rows, offset = [], None
    while True:
        page = call(params | ({"offset": offset} if offset else {}))
        rows += page.list
        offset = page.next_offset
        if not offset:
            return rows


def test_pages_cover_everything_once_in_order(site: Chargebee, simulator: RunningSimulator) -> None:
    rows = [entry.invoice for entry in _all(site.Invoice.list, {"limit": 37, "sort_by": {"asc": "date"}})]
    assert len(rows) == simulator.get("/control/ready")["counts"]["invoice"]
    assert len({row.id for row in rows}) == len(rows)
    assert [row.date for row in rows] == sorted(row.date for row in rows)


def test_ten_rows_newest_first_unless_told_otherwise(site: Chargebee) -> None:
    rows = [entry.invoice.date for entry in site.Invoice.list().list]
    assert len(rows) == 10
    assert rows == sorted(rows, reverse=True)


def test_filters_mean_what_they_say(site: Chargebee) -> None:
    invoices = [entry.invoice for entry in _all(site.Invoice.list, {"limit": 100})]
    middle = sorted(invoice.total for invoice in invoices)[len(invoices) // 2]
    day = invoices[0].date
    cases: list[tuple[dict[str, Any], Any]] = [
        ({"status": {"in": ["payment_due", "posted"]}}, lambda i: i.status in ("payment_due", "posted")),
        ({"status": {"is_not": "paid"}}, lambda i: i.status != "paid"),
        ({"total": {"gte": middle}}, lambda i: i.total >= middle),
        ({"date": {"before": day}}, lambda i: i.date < day),
        ({"customer_id": {"is": invoices[0].customer_id}}, lambda i: i.customer_id == invoices[0].customer_id),
        ({"dunning_status": {"is_present": True}}, lambda i: i.dunning_status is not None),
        ({"id": {"in": [invoices[0].id, invoices[1].id]}}, lambda i: i.id in (invoices[0].id, invoices[1].id)),
    ]
    for params, fits in cases:
        found = {entry.invoice.id for entry in _all(site.Invoice.list, params | {"limit": 100})}
        assert found == {invoice.id for invoice in invoices if fits(invoice)}, params


def test_subscriptions_are_found_by_what_is_in_them(site: Chargebee) -> None:
    subscriptions = [entry.subscription for entry in _all(site.Subscription.list, {"limit": 100})]
    price = subscriptions[0].subscription_items[0].item_price_id
    by_price = {entry.subscription.id for entry in _all(site.Subscription.list, {"item_price_id": {"is": price}})}
    assert by_price == {s.id for s in subscriptions if any(item.item_price_id == price for item in s.subscription_items)}
    by_item = {entry.subscription.id for entry in _all(site.Subscription.list, {"item_id": {"in": ["team", "business"]}, "limit": 100})}
    wanted = ("team-", "business-")
    assert by_item == {s.id for s in subscriptions if any(item.item_price_id.startswith(wanted) for item in s.subscription_items)}


def test_a_consolidated_invoice_is_found_by_the_subscription_of_its_line(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    both = next(
        c
        for c in own_simulator.get("/control/customers")["customers"]
        if c["consolidated_invoicing"] and len(cb.Subscription.list({"customer_id": {"is": c["id"]}}).list) == 2
    )
    own_simulator.advance(35 * 86_400)
    subscription = cb.Subscription.list({"customer_id": {"is": both["id"]}}).list[0].subscription
    newest = cb.Invoice.list({"subscription_id": {"is": subscription.id}, "limit": 1}).list[0].invoice
    assert newest.subscription_id is None
    assert len({line.subscription_id for line in newest.line_items}) == 2


def test_a_failed_payment_reads_as_chargebee_shows_it(simulator: RunningSimulator, site: Chargebee, subscriptions: list[Any]) -> None:
    failed = simulator.fail_payment(customer_id=subscriptions.pop().customer_id, code="insufficient_funds")
    invoice = site.Invoice.retrieve(failed["invoice_id"]).invoice
    payments = site.Transaction.payments_for_invoice(invoice.id).list
    transaction = payments[0].transaction
    source = site.PaymentSource.retrieve(transaction.payment_source_id).payment_source
    assert (invoice.status, invoice.dunning_status, invoice.amount_due) == ("payment_due", "in_progress", invoice.total)
    assert invoice.next_retry_at == invoice.date + 3 * 86_400
    assert invoice.linked_payments[0].txn_id == transaction.id
    assert (transaction.status, transaction.type, transaction.amount) == ("failure", "payment", invoice.total)
    assert transaction.gateway == source.gateway
    assert transaction.error_code
    assert transaction.error_text
    assert transaction.masked_card_number == "************" + source.card.last4
    assert site.Subscription.retrieve(invoice.subscription_id).subscription.due_invoices_count == 1


def test_times_are_seconds_and_versions_milliseconds_that_grow(
    simulator: RunningSimulator, site: Chargebee, subscriptions: list[Any]
) -> None:
    customer_id = subscriptions[0].customer_id
    first = site.Customer.update(customer_id, {"first_name": "One"}).customer
    second = site.Customer.update(customer_id, {"first_name": "Two"}).customer
    assert first.created_at < 10**11 < first.resource_version < second.resource_version


def _names(seed: int) -> list[str]:
    site = Site(Options(seed=seed, customers=15))
    make_world(site)
    return [customer["company"] + customer["id"] for customer in site.store.find("customer")]


def test_the_same_seed_makes_the_same_world() -> None:
    assert _names(5) == _names(5)
    assert _names(5) != _names(6)


def test_two_business_entities_bill_on_one_site(site: Chargebee) -> None:
    of_both = [entry.customer for entry in site.Customer.list({"limit": 100}).list]
    of_one = [entry.customer for entry in site.Customer.list({"limit": 100, "business_entity_id": {"is": "be_cloud"}}).list]
    assert {customer.business_entity_id for customer in of_both} == {"be_main", "be_cloud"}
    assert {customer.id for customer in of_one} == {customer.id for customer in of_both if customer.business_entity_id == "be_cloud"}
    invoices = site.Invoice.list({"customer_id": {"is": of_one[0].id}, "limit": 5}).list
    assert {entry.invoice.business_entity_id for entry in invoices} == {"be_cloud"}
