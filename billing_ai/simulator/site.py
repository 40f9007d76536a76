"""The site itself: store, clock, ids, and the saving of resources with their versions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from billing_ai.simulator.clock import Clock
from billing_ai.simulator.errors import not_found
from billing_ai.simulator.ids import make_id
from billing_ai.simulator.options import Options
from billing_ai.simulator.store import Store, Thing

VERSIONED = frozenset(
    [
        "customer",
        "subscription",
        "invoice",
        "transaction",
        "payment_source",
        "hosted_page",
        "item",
        "item_price",
        "item_family",
        "feature",
        "coupon",
        "credit_note",
        "usage",
        "promotional_credit",
        "unbilled_charge",
        "ramp",
        "contract_term",
    ]
)
HIDDEN_PREFIX = "_"


class Site:
    """One Chargebee site. Everything that happens goes through it, one writer at a time."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.store = Store(options.state, reset=options.reset)
        self.clock = Clock(self.store)
        self.random = random.Random()
        self._seed: int | None = None
        self.webhooks_wanted = asyncio.Event()
        self.source = "api"

        self.start_travel: Callable[[int], None] = _nobody_travels

    def travel_state(self) -> Thing:
        """The time machine as it stands."""
        found = self.store.get("time_machine", "delorean")
        fresh = {"id": "delorean", "name": "delorean", "time_travel_status": "not_enabled", "object": "time_machine"}
        return found or fresh | {"genesis_time": self.store.setting("made_at"), "destination_time": self.now()}

    @property
    def seed(self) -> int:
        """The world's seed: that of the state, else the one asked for."""
        if self._seed is None:
            self._seed = int(self.store.setting("seed", self.options.seed))
        return self._seed

    def now(self) -> int:
        return self.clock.now()

    def new_id(self, kind: str) -> str:
        """A fresh id; invoices and credit notes are numbered as people expect."""
        number = self.store.next_number(kind)
        if kind == "invoice":
            return str(1000 + number)
        if kind == "credit_note":
            return f"CN-{number}"
        return make_id(self.seed, kind, number)

    def save(self, kind: str, thing: Thing) -> Thing:
        """Store a resource; what carries a version gets the next one."""
        if kind in VERSIONED:
            thing["updated_at"] = self.now()
            thing["resource_version"] = self.clock.next_version()
        self.store.put(kind, thing)
        return thing

    def must(self, kind: str, ident: str) -> Thing:
        """The thing, or Chargebee's 404."""
        found = self.store.get(kind, ident)
        if found is None or found.get("deleted"):
            raise not_found(kind, ident)
        return found

    def coin(self, *parts: object) -> random.Random:
        """A random source that depends only on the seed and what it is for."""
        return random.Random(f"{self.seed}:" + ":".join(str(part) for part in parts))


def _nobody_travels(moment: int) -> None:
    raise RuntimeError("the time keeper is not running")


def public(thing: Thing) -> dict[str, Any]:
    """The thing as the API shows it: without what only the simulator knows."""
    return {name: value for name, value in thing.items() if not name.startswith(HIDDEN_PREFIX) and value is not None}
