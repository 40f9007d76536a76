"""Facts are kept newest first, whatever order the news comes in, and in one statement where the database can."""

from __future__ import annotations

import threading
from datetime import date
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from billing_ai.facts.models import Customer, Invoice, Transaction
from billing_ai.facts.saving import save
from billing_ai.kernel import clock

pytestmark = pytest.mark.django_db


def customer(number: int = 1, version: int = 1, **columns: Any) -> Customer:
    return Customer(pk=f"cus_{number}", resource_version=version, fetched_at=clock.now(), **columns)


def invoice(number: int = 1, version: int = 1, **columns: Any) -> Invoice:
    values = {"status": "not_paid", "currency": "EUR", "total_minor": 4_900, "amount_due_minor": 4_900, "issued_on": date(2026, 3, 2)}
    return Invoice(
        pk=f"INV-{number}", chargebee_customer_id="cus_1", resource_version=version, fetched_at=clock.now(), **{**values, **columns}
    )


def test_several_kinds_go_in_together() -> None:
    with CaptureQueriesContext(connection) as asked:
        save([customer(tags=["a", "ü"])], [], [invoice(2), invoice(1)], [])
    if connection.vendor == "postgresql":
        assert len(asked) == 1
    kept = Customer.objects.get()
    assert (kept.pk, kept.tags, kept.customer_since) == ("cus_1", ["a", "ü"], None)
    assert list(Invoice.objects.order_by("pk").values_list("pk", "issued_on", "amount_due_minor")) == [
        ("INV-1", date(2026, 3, 2), 4_900),
        ("INV-2", date(2026, 3, 2), 4_900),
    ]


def test_newer_and_equal_news_replaces_older_does_not() -> None:
    save([customer(version=5, locale="de")], [invoice(version=5, status="paid")])
    save([customer(version=4, locale="fr")], [invoice(version=6, status="voided"), invoice(2, version=1)])
    assert Customer.objects.get().locale == "de"
    assert list(Invoice.objects.order_by("pk").values_list("status", "resource_version")) == [("voided", 6), ("not_paid", 1)]
    save([customer(version=5, locale="es")])
    assert Customer.objects.get().locale == "es"


def test_of_two_with_one_key_the_newer_is_kept() -> None:
    save([invoice(version=7, status="paid"), invoice(version=3)])
    assert Invoice.objects.get().status == "paid"


def test_nothing_is_asked_of_the_database_for_nothing() -> None:
    with CaptureQueriesContext(connection) as asked:
        save([], [])
    assert len(asked) == 0


@pytest.mark.django_db(transaction=True)
def test_workers_with_news_of_the_same_customer_wait_for_each_other_and_the_newest_stays() -> None:
    start, failed = threading.Barrier(6), []

    def work(version: int) -> None:
        rows = [invoice(number, version) for number in range(40)]
        start.wait()
        try:
            for _ in range(5):
                # in an order of their own each, and not always the same kinds
                save([customer(version=version)] if version % 2 else [], rows[::-1] if version % 3 else rows)
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(version,)) for version in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert set(Invoice.objects.values_list("resource_version", flat=True)) == {6}
    assert (Invoice.objects.count(), Transaction.objects.count(), Customer.objects.get().resource_version) == (40, 0, 5)
