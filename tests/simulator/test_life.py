"""Life that goes on by itself."""

from __future__ import annotations

import random
from collections import Counter

from billing_ai.simulator import billing
from billing_ai.simulator.live import Life
from billing_ai.simulator.options import Options
from billing_ai.simulator.site import Site
from billing_ai.simulator.world.making import make_world


def test_things_of_every_kind_happen_and_the_books_balance() -> None:
    site = Site(Options(customers=30, fresh_failures=4, seed=2))
    site.random = random.Random(1)
    make_world(site)
    life = Life(site)
    happened = Counter(life.happen() for _ in range(200))
    assert set(happened) == {"a payment failed", "a customer paid", "a card was changed"}
    assert min(happened.values()) >= 10
    assert {entry["difference"] for entry in billing.books(site).values()} == {0}
    told = Counter(event["event_type"] for event in site.store.find("event"))
    assert told["payment_failed"] == happened["a payment failed"]
    assert told["payment_succeeded"] == happened["a customer paid"]
    assert told["payment_source_added"] == happened["a card was changed"]
