"""What we hold about invoices is compared with Chargebee's list of them; what differs goes the usual way as news."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from billing_ai.facts.models import Invoice
from billing_ai.inbox import beliefs, cursors, tasks
from billing_ai.inbox.models import Event
from billing_ai.integrations.chargebee import reads
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Retryable
from billing_ai.work.models import Tick

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(hours=2)


class InvoiceList:
    """Chargebee's list of invoices, oldest change first; goes away after `answers` of them when told."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.asked: list[datetime] = []
        self.answers = 10**9

    def holds(self, invoice_id: str, status: str, due: int, *, version: int = 2, ago: timedelta = LONG_AGO) -> None:
        self.rows.append(
            SimpleNamespace(
                id=invoice_id, customer_id="cus_1", subscription_ids=(), status=status, amount_due_minor=due, version=version,
                updated_at=clock.now() - ago,
            )
        )  # fmt: skip

    def since(self, *, updated_after: datetime) -> Iterator[Any]:
        self.asked.append(updated_after)
        for number, row in enumerate(sorted(self.rows, key=lambda row: row.updated_at)):
            if number >= self.answers:
                raise Retryable("chargebee.unreachable", "Chargebee does not answer.")
            if row.updated_at > updated_after:
                yield row


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> InvoiceList:
    made = InvoiceList()
    monkeypatch.setattr(reads, "list_invoices", made.since)
    monkeypatch.setattr(beliefs, "wake", lambda task: None)
    return made


def believed(invoice_id: str, status: str, due: int, version: int = 1) -> None:
    Invoice.objects.create(
        pk=invoice_id, chargebee_customer_id="cus_1", status=status, currency="EUR", total_minor=4_900, amount_due_minor=due,
        issued_on=clock.utc_date(clock.now()), resource_version=version, fetched_at=clock.now(),
    )  # fmt: skip


def test_a_payment_that_no_news_told_of_is_found_once(site: InvoiceList) -> None:
    believed("INV-1", "not_paid", 4_900)
    believed("INV-2", "not_paid", 4_900)
    site.holds("INV-1", "paid", 0)
    site.holds("INV-2", "not_paid", 4_900)
    assert beliefs.run() == ("2 invoices looked at, 1 were otherwise", 1)
    event = Event.objects.get()
    assert (event.event_type, event.found_by, event.status, event.chargebee_customer_id) == (
        "invoice_updated",
        "invoices",
        "waiting",
        "cus_1",
    )
    assert event.resources == [{"kind": "invoice", "id": "INV-1", "version": 2}]
    # and while it waits to be fetched, it is no second piece of news
    assert beliefs.run()[1] == 0
    assert Event.objects.count() == 1


def test_an_invoice_that_is_owed_and_that_we_never_heard_of_is_news(site: InvoiceList) -> None:
    site.holds("INV-owed", "not_paid", 4_900)
    site.holds("INV-paid", "paid", 0)
    assert beliefs.run() == ("2 invoices looked at, 1 were otherwise", 1)
    assert Event.objects.get().resources[0]["id"] == "INV-owed"


def test_what_has_just_changed_is_left_to_the_webhooks(site: InvoiceList) -> None:
    believed("INV-1", "not_paid", 4_900)
    site.holds("INV-1", "paid", 0, ago=timedelta(minutes=5))
    assert beliefs.run() == ("0 invoices looked at, 0 were otherwise", 0)
    assert not Event.objects.exists()


def test_what_we_hold_in_a_newer_version_is_no_news(site: InvoiceList) -> None:
    believed("INV-1", "paid", 0, version=3)
    site.holds("INV-1", "not_paid", 4_900, version=2)
    assert beliefs.run()[1] == 0
    assert not Event.objects.exists()


def test_a_list_that_breaks_off_is_gone_on_with(site: InvoiceList) -> None:
    for number in range(3):
        site.holds(f"INV-{number}", "not_paid", 4_900, ago=timedelta(hours=5 - number))
    site.answers = 1
    said, wrong = beliefs.run()
    assert (said, wrong) == ("stopped after 1 invoices: Chargebee does not answer.", 1)
    assert cursors.read(beliefs.CURSOR) == site.rows[0].updated_at.replace(microsecond=0)
    site.answers = 10**9
    assert beliefs.run()[1] == 2


def test_the_sweep_says_when_it_ran_and_what_it_found(site: InvoiceList) -> None:
    site.holds("INV-1", "not_paid", 4_900)
    tasks.compare_invoices()
    tick = Tick.objects.get(schedule="inbox.compare_invoices")
    assert (tick.result, tick.problems) == ("1 invoices looked at, 1 were otherwise", 1)
    assert tick.finished_at is not None
    tasks.compare_invoices()  # a second beat
    assert len(site.asked) == 1
