"""Customers of whom no event has told us are fetched once, and the walk goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.models import AgentRun
from billing_ai.facts import sync
from billing_ai.facts.models import Customer
from billing_ai.inbox import roll_call
from billing_ai.integrations.chargebee import reads, resources
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Retryable
from billing_ai.work.models import Tick

pytestmark = pytest.mark.django_db
FIRST = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Site:
    """A site of five customers, one changed each hour."""

    def __init__(self) -> None:
        self.changed = {f"cus_{number}": FIRST + timedelta(hours=number) for number in range(5)}
        self.asked: list[datetime | None] = []
        self.fetched: list[str] = []
        self.away_at = ""

    def list_customers(self, *, updated_after: datetime | None = None, **_: Any) -> Iterator[resources.Customer]:
        self.asked.append(updated_after)
        for customer_id, at in self.changed.items():
            if updated_after is None or at > updated_after:
                yield resources.Customer.from_raw({"id": customer_id, "updated_at": clock.to_seconds(at)})

    def refresh(self, customer_id: str, invoice_ids: Any) -> None:
        if customer_id == self.away_at:
            raise Retryable("chargebee.unreachable", "Chargebee does not answer.")
        self.fetched.append(customer_id)
        Customer.objects.create(pk=customer_id, fetched_at=clock.now())


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site()
    monkeypatch.setattr(reads, "list_customers", made.list_customers)
    monkeypatch.setattr(sync, "refresh", made.refresh)
    return made


def test_everyone_is_fetched_once_and_then_only_who_is_new(site: Site) -> None:
    Customer.objects.create(pk="cus_1", fetched_at=clock.now())
    assert roll_call.run() == "5 customers looked at, 4 were not known"
    assert site.fetched == ["cus_0", "cus_2", "cus_3", "cus_4"]
    # and each of them is scored for the first time
    assert set(AgentRun.objects.values_list("agent", "subject_id")) == {("churn", one) for one in site.fetched}
    site.changed["cus_5"] = FIRST + timedelta(hours=9)
    assert roll_call.run() == "2 customers looked at, 1 were not known"  # the last one again, for the overlap
    assert site.fetched[-1] == "cus_5"


def test_while_chargebee_is_away_the_walk_stops_and_goes_on_there(site: Site) -> None:
    site.away_at = "cus_3"
    assert roll_call.run() == "4 customers looked at, 3 were not known; stopped: Chargebee does not answer."
    assert Tick.objects.get(pk=roll_call.CURSOR).slot == clock.to_seconds(FIRST + timedelta(hours=2))
    site.away_at = ""
    roll_call.run()
    assert sorted(site.fetched) == [f"cus_{number}" for number in range(5)]


def test_a_stretch_a_run(site: Site) -> None:
    assert roll_call.run(seconds=0) == "1 customers looked at, 1 were not known"
