"""Simulators for the tests of the simulator. They start with no failures of their own, so that a test knows what there is."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterator

import pytest
from chargebee import Chargebee

from tests.simulator.receiving import Receiver, receiving
from tests.simulator.running import RunningSimulator, running_simulator


@pytest.fixture(scope="session", autouse=True)
def _one_tls_context() -> Iterator[None]:
    """The SDK builds a TLS context for each call, also for plain HTTP: most of a call's time, and of no use here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="module")
def simulator(request: pytest.FixtureRequest) -> Iterator[RunningSimulator]:
    """One for the tests of a module: each test takes customers of its own."""
    with running_simulator(customers=60, fresh_failures=0, seed=11) as running:
        yield running


@pytest.fixture
def own_simulator() -> Iterator[RunningSimulator]:
    """One for a test that moves the clock or breaks things."""
    with running_simulator(customers=12, fresh_failures=0, seed=11) as running:
        yield running


@pytest.fixture(scope="module")
def site(simulator: RunningSimulator) -> Chargebee:
    """The real SDK, pointed at the simulator."""
    return simulator.client()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def subscriptions(site: Chargebee) -> list[object]:
    """Active monthly subscriptions that owe nothing and collect by card, one a customer. Tests pop what they use up."""
    found: list[object] = []
    customers: set[str] = set()
    offset = None
    while True:
        page = site.Subscription.list({"status": {"is": "active"}, "limit": 100} | ({"offset": offset} if offset else {}))
        for entry in page.list:
            one = entry.subscription
            usable = one.due_invoices_count == 0 and one.auto_collection == "on" and one.billing_period_unit == "month"
            if usable and one.customer_id not in customers and not site.Customer.retrieve(one.customer_id).customer.consolidated_invoicing:
                customers.add(one.customer_id)
                found.append(one)
        offset = page.next_offset
        if not offset:
            return found
