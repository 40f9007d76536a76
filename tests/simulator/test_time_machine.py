"""The time machine of the API."""

from __future__ import annotations

import time

import pytest
from chargebee import InvalidRequestError

from tests.simulator.running import RunningSimulator

DAY = 86_400


def test_it_travels_while_one_asks_how_far_it_is(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    began = own_simulator.now()
    answer = cb.TimeMachine.travel_forward("delorean", {"destination_time": began + 40 * DAY}).time_machine
    assert answer.time_travel_status == "in_progress"
    ends = time.monotonic() + 30
    while cb.TimeMachine.retrieve("delorean").time_machine.time_travel_status != "succeeded":
        assert time.monotonic() < ends
    assert own_simulator.now() >= began + 40 * DAY
    renewed = cb.Event.list({"event_type": {"is": "subscription_renewed"}, "limit": 100}).list
    assert len(renewed) >= 10
    with pytest.raises(InvalidRequestError):
        cb.TimeMachine.travel_forward("delorean", {"destination_time": began})


def test_starting_afresh_forgets_what_was(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    names = [customer["company"] for customer in own_simulator.get("/control/customers")["customers"]]
    failed = own_simulator.fail_payment(code="lost")
    genesis = own_simulator.now() - 100 * DAY
    assert cb.TimeMachine.start_afresh("delorean", {"genesis_time": genesis}).time_machine.genesis_time == genesis
    assert genesis <= own_simulator.now() < genesis + 3_600
    assert [customer["company"] for customer in own_simulator.get("/control/customers")["customers"]] == names
    with pytest.raises(InvalidRequestError):
        cb.Invoice.retrieve(failed["invoice_id"])
    assert own_simulator.get("/control/books")["balanced"]
