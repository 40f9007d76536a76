"""Faults on demand, rate limits, and what survives."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from chargebee import APIError

from tests.simulator.running import RunningSimulator, running_simulator

DAY = 86_400


def _comment(simulator: RunningSimulator) -> Any:
    customer_id = simulator.get("/control/customers")["customers"][0]["id"]
    return simulator.client().Comment.create({"entity_type": "customer", "entity_id": customer_id, "notes": "x"})


def _comments(simulator: RunningSimulator) -> int:
    customer_id = simulator.get("/control/customers")["customers"][0]["id"]
    return len(simulator.client().Comment.list({"entity_type": "customer", "entity_id": customer_id}).list)


@pytest.fixture
def faulty(simulator: RunningSimulator) -> Any:
    simulator.delete("/control/faults")
    yield simulator
    simulator.delete("/control/faults")


def test_a_status_a_number_of_times(faulty: RunningSimulator) -> None:
    before = _comments(faulty)
    faulty.post("/control/faults", kind="status", path="/comments$", method="POST", status=429, retry_after=7, times=2)
    for _ in range(2):
        with pytest.raises(APIError) as refused:
            _comment(faulty)
        assert (refused.value.http_status_code, refused.value.http_headers["Retry-After"]) == (429, "7")
    assert _comments(faulty) == before
    _comment(faulty)
    assert _comments(faulty) == before + 1


def test_dropped_before_acting(faulty: RunningSimulator) -> None:
    before = _comments(faulty)
    faulty.post("/control/faults", kind="drop", path="/comments$", method="POST", times=1)
    with pytest.raises(httpx.TransportError):
        _comment(faulty)
    assert _comments(faulty) == before


def test_acted_then_dropped(faulty: RunningSimulator) -> None:
    before = _comments(faulty)
    faulty.post("/control/faults", kind="act_then_drop", path="/comments$", method="POST", times=1)
    with pytest.raises(httpx.TransportError):
        _comment(faulty)
    assert _comments(faulty) == before + 1


@pytest.mark.parametrize("kind", ["html", "empty", "cut_body"])
def test_bodies_that_are_not_json(faulty: RunningSimulator, kind: str) -> None:
    faulty.post("/control/faults", kind=kind, path="/comments$", method="POST", times=1)
    with pytest.raises(Exception, match=r"Sorry, (something went wrong|the server is currently unable)"):
        _comment(faulty)


def test_flapping_and_a_wrong_clock(faulty: RunningSimulator) -> None:
    faulty.post("/control/faults", kind="flapping", path="/comments$", method="POST", status=503)
    outcomes = []
    for _ in range(4):
        try:
            _comment(faulty)
            outcomes.append("ok")
        except APIError:
            outcomes.append("down")
    assert outcomes == ["down", "ok", "down", "ok"]
    faulty.post("/control/faults", kind="clock", path="/configurations$", date="Thu, 01 Jan 2015 00:00:00 GMT")
    assert faulty.client().Configuration.list().headers["Date"] == "Thu, 01 Jan 2015 00:00:00 GMT"


def test_mail_is_refused_on_demand(faulty: RunningSimulator) -> None:
    faulty.post("/control/faults", kind="status", method="SMTP", status=451, times=1)
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@northwind.example", "refused@nobody.example", "x"
    with smtplib.SMTP("127.0.0.1", faulty.smtp_port) as smtp, pytest.raises(smtplib.SMTPResponseException) as refused:
        smtp.send_message(message)
    assert refused.value.smtp_code == 451
    assert faulty.mail(to="refused@nobody.example") == []


def test_an_unknown_fault_is_refused(faulty: RunningSimulator) -> None:
    with pytest.raises(AssertionError, match="kind should be one of"):
        faulty.post("/control/faults", kind="gremlins")


def test_the_rate_limit_answers_429_and_says_how_long() -> None:
    with running_simulator(customers=3, fresh_failures=0, rate_limit=4) as simulator:
        cb = simulator.client()
        for _ in range(4):
            cb.Customer.list()
        with pytest.raises(APIError) as limited:
            cb.Customer.list()
    assert (limited.value.http_status_code, limited.value.api_error_code) == (429, "api_request_limit_exceeded")
    assert 1 <= int(limited.value.http_headers["Retry-After"]) <= 61


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    state = str(tmp_path / "simulator.sqlite3")
    with running_simulator(customers=5, fresh_failures=0, state=state) as simulator:
        simulator.advance(3 * DAY)
        made = _comment(simulator).comment
        failed = simulator.fail_payment(code="lost")
        # Some customers pay by themselves in the days after; this one's card stays lost.
        simulator.post("/control/truth", customer_id=failed["customer_id"], state="lost")
        now = simulator.now()
        simulator.kill()
    with running_simulator(customers=5, fresh_failures=0, state=state) as again:
        cb = again.client()
        assert cb.Comment.retrieve(made.id).comment.notes == "x"
        assert cb.Invoice.retrieve(failed["invoice_id"]).invoice.dunning_status == "in_progress"
        assert now <= again.now() < now + 3_600
        again.advance(4 * DAY)
        assert len(cb.Invoice.retrieve(failed["invoice_id"]).invoice.dunning_attempts) == 1
    with running_simulator(customers=5, fresh_failures=0, state=state, reset=True) as fresh, pytest.raises(APIError):
        fresh.client().Comment.retrieve(made.id)
