"""A month with every phase at once: what went out is counted by a checker that reads only what the outside world saw.

`make test` plays it with a small company, `make month` with 5,000 customers (MONTH_CUSTOMERS).
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as configured

from agents.models import AgentRun
from audit.verify import verify
from tests.flows.conftest import World
from tests.flows.month import checker
from tests.flows.month.driver import Month
from tests.flows.month.outside import look
from tests.simulator.running import RunningSimulator, running_simulator

CUSTOMERS = int(os.environ.get("MONTH_CUSTOMERS", "120"))
IS_LARGE = CUSTOMERS > 1_000


@pytest.fixture(scope="module")
def site() -> Iterator[RunningSimulator]:
    """A company of its own, so that nothing else happens in its month."""
    with running_simulator(customers=CUSTOMERS, fresh_failures=0, history_months=1, seed=11) as simulator:
        yield simulator


@pytest.mark.skipif(
    "postgresql" in configured.DATABASES["default"]["ENGINE"] and not IS_LARGE, reason="the small month is played once, on SQLite"
)
def test_a_month_in_every_phase_breaks_no_limit(world: World, settings: Any) -> None:
    settings.SEND_DELAY_SECONDS, settings.SMS_TOKEN, settings.SMS_FROM = 300, "a-token", "+15005550006"
    month = Month(world, CUSTOMERS, random.Random(CUSTOMERS))
    month.run()

    seen = look(world.site, month.began)
    found = checker.breaches(seen, month.said, month.limits, month.approvals)

    ours = checker.ours_among(seen)
    figures = {
        "customers": CUSTOMERS,
        "messages": dict(Counter(message.channel for message in seen.messages)),
        "charges of ours": len(ours),
        "of them successful": sum(one.succeeded for one in ours),
        "all payments": sum(1 for one in seen.payments if one.at >= month.began),
        "proposals by phase": month.in_phases(),
        "happened": dict(month.counts),
        "runs that ended parked": AgentRun.objects.filter(status="parked").count(),
        "refused": dict(month.refused),
        "breaches": checker.by_rule(found),
    }
    print(json.dumps(figures, indent=1))
    assert found == []
    # A month in which nothing happened would break no limit either.
    assert set(month.in_phases()) == {"observe", "assist", "automate"}
    assert len(seen.messages) >= CUSTOMERS // 20
    assert len(ours) >= 3
    assert len(seen.messages) == month.contacts()
    if IS_LARGE:
        assert {"dispute", "promise", "conversation", "suppressed", "hardship", "opt out"} <= set(month.counts)
    assert verify().is_whole
