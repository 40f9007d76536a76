"""Who acts, and the trace id on log lines."""

from __future__ import annotations

import logging

import pytest
from django.contrib.auth.models import AnonymousUser, User

from audit.actor import Actor, TraceFilter, acting, agent, chargebee, current_actor, current_trace_id, person, policy, system


def test_constructors_name_their_kind():
    assert person(User(pk=7, username="lead")) == Actor("person", "7", "lead")
    assert policy("dunning.automate") == Actor("policy", "dunning.automate", "dunning.automate")
    assert agent("dunning") == Actor("agent", "dunning", "dunning")
    assert system("sweep") == Actor("system", "sweep", "sweep")
    assert chargebee() == Actor("chargebee", "chargebee", "Chargebee")


@pytest.mark.parametrize("nobody", [User(username="unsaved"), AnonymousUser()])
def test_nobody_is_no_actor(nobody):
    with pytest.raises(ValueError, match="stored user"):
        person(nobody)


def test_acting_nests_and_ends_also_with_an_exception():
    with pytest.raises(LookupError):
        current_actor()
    with acting(system("a"), "1" * 32):
        with acting(agent("b"), "2" * 32):
            assert (current_actor(), current_trace_id()) == (agent("b"), "2" * 32)
        with pytest.raises(ValueError, match="stored user"), acting(agent("c"), "3" * 32):
            person(User())
        assert (current_actor(), current_trace_id()) == (system("a"), "1" * 32)
    assert current_trace_id() == ""


@pytest.mark.parametrize(("trace_id", "shown"), [("3" * 32, "3" * 32), ("", "-")])
def test_log_records_get_the_trace_id(trace_id, shown):
    record = logging.LogRecord("a", logging.INFO, "f", 1, "m", (), None)
    with acting(system("a"), trace_id):
        assert TraceFilter().filter(record) is True
    assert record.trace_id == shown


def test_a_record_keeps_the_trace_id_it_was_given():
    record = logging.makeLogRecord({"trace_id": "given"})
    TraceFilter().filter(record)
    assert record.trace_id == "given"
