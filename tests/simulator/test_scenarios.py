"""The scenarios that come with the simulator."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from chargebee import PaymentError

from billing_ai.simulator.scenarios import FOLDER
from tests.simulator.running import RunningSimulator, running_simulator

HOUR, DAY = 3_600, 86_400


def _open(simulator: RunningSimulator) -> list[Any]:
    return [e.invoice for e in simulator.client().Invoice.list({"status": {"in": ["payment_due", "not_paid"]}, "limit": 100}).list]


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.json")))
def test_each_leaves_books_that_balance(name: str) -> None:
    with running_simulator(customers=60, fresh_failures=0, scenario=name) as simulator:
        simulator.advance(5 * DAY)
        simulator.advance(30 * DAY)
        assert simulator.get("/control/books")["balanced"]


def test_a_decline_spike_hits_one_gateway_and_passes() -> None:
    with running_simulator(customers=60, fresh_failures=0) as simulator:
        before = {invoice.id for invoice in _open(simulator)}
        simulator.post("/control/scenario", name="decline_spike")
        hit = [invoice for invoice in _open(simulator) if invoice.id not in before]
        cb = simulator.client()
        gateways = {cb.Transaction.payments_for_invoice(invoice.id).list[0].transaction.gateway for invoice in hit}
        assert len(hit) >= 4
        assert gateways == {"stripe"}
        simulator.advance(30 * HOUR)
        paid = 0
        for invoice in hit:
            with contextlib.suppress(PaymentError):
                paid += cb.Invoice.collect_payment(invoice.id).invoice.status == "paid"
        assert paid >= len(hit) / 2


def test_a_dispute_takes_the_money_back() -> None:
    with running_simulator(customers=60, fresh_failures=0) as simulator:
        simulator.post("/control/scenario", name="dispute_storm")
        tickets = simulator.get("/control/tickets")["tickets"]
        reversals = simulator.client().Transaction.list({"type": {"is": "payment_reversal"}, "limit": 100}).list
        assert len(tickets) == len(reversals) > 0
        assert {tuple(ticket["tags"]) for ticket in tickets} == {("dispute",)}
        assert simulator.get("/control/books")["balanced"]


def test_the_currency_mix_shows_in_the_books() -> None:
    with running_simulator(customers=60, fresh_failures=0, scenario="currency_mix") as simulator:
        currencies = set(simulator.get("/control/books")["books"])
    assert {"JPY", "KWD"} <= currencies
    assert "GBP" not in currencies


def test_an_unreadable_scenario_is_refused(simulator: RunningSimulator, tmp_path: Path) -> None:
    odd = tmp_path / "odd.json"
    odd.write_text('{"steps": [{"do": "fly"}]}')
    with pytest.raises(AssertionError, match="unknown steps"):
        simulator.post("/control/scenario", name=str(odd))
    with pytest.raises(AssertionError, match="cannot be read"):
        simulator.post("/control/scenario", name="nothing_like_it")
