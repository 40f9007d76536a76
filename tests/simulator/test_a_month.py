"""A month of a site, through webhooks, ends with books that balance."""

from __future__ import annotations

from collections import Counter

from tests.simulator.receiving import Receiver
from tests.simulator.running import RunningSimulator, running_simulator

DAY = 86_400


def _balanced(simulator: RunningSimulator) -> None:
    answer = simulator.get("/control/books")
    assert {currency: entry["difference"] for currency, entry in answer["books"].items()} == dict.fromkeys(answer["books"], 0)


def test_a_month_of_500_customers_balances(receiver: Receiver) -> None:
    with running_simulator(customers=500, history_months=1, seed=3) as simulator:
        simulator.post("/control/webhooks", url=receiver.url, user="u", password="p")
        simulator.post("/control/deliver")
        _balanced(simulator)
        before = simulator.get("/control/ready")["counts"]["invoice"]
        for _ in range(6):
            simulator.advance(5 * DAY + 7_200)
            _balanced(simulator)
        ready = simulator.get("/control/ready")
        simulator.post("/control/deliver")
    counts = Counter(receiver.types())
    assert ready["counts"]["invoice"] - before > 400
    assert counts["subscription_renewed"] > 400
    assert counts["payment_succeeded"] > 350
    assert counts["payment_failed"] > 50
    assert len({event["id"] for event in receiver.events}) == len(receiver.events) == ready["counts"]["event"]
    assert set(receiver.credentials) == {"u:p"}


def test_what_is_due_happens_in_its_order(own_simulator: RunningSimulator) -> None:
    own_simulator.advance(40 * DAY)
    cb = own_simulator.client()
    events, offset = [], None
    while True:
        page = cb.Event.list({"limit": 100, "sort_by": {"asc": "occurred_at"}} | ({"offset": offset} if offset else {}))
        events += [entry.event for entry in page.list]
        offset = page.next_offset
        if not offset:
            break
    versions = [e.content["invoice"]["resource_version"] for e in events if "invoice" in e.content]
    assert versions == sorted(versions)
    assert [e.occurred_at for e in events] == sorted(e.occurred_at for e in events)
