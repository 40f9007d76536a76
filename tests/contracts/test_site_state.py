"""What the processes know together, held to the same cases in a file and in Redis."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis

from billing_ai.integrations import site_state
from billing_ai.integrations.chargebee import budget, circuit
from billing_ai.integrations.site_state import FileState, Health, RedisState, SiteState
from tests.serving import own_redis


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with own_redis(tmp_path_factory.mktemp("redis") / "socket") as url:
        yield url


@pytest.fixture(params=["file", "redis"])
def two(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[tuple[SiteState, SiteState]]:
    """The same state as two processes see it."""
    if request.param == "file":
        yield FileState(tmp_path / "calls"), FileState(tmp_path / "calls")
        return
    url = request.getfixturevalue("redis_url")
    redis.Redis.from_url(url).flushdb()
    yield RedisState(url, "site"), RedisState(url, "site")


def test_one_budget_for_both(two: tuple[SiteState, SiteState]) -> None:
    one, other = two
    assert [one.take(3), other.take(3), one.take(3)] == [0.0, 0.0, 0.0]
    assert 55 < other.take(3) <= 60
    assert other.take(4) == 0.0


def test_a_lower_limit_waits_for_more_calls_to_age(two: tuple[SiteState, SiteState]) -> None:
    one, other = two
    assert [one.take(10) for _ in range(5)] == [0.0] * 5
    assert 55 < other.take(2) <= 60
    assert other.take(6) == 0.0


def test_one_hold_for_both(two: tuple[SiteState, SiteState]) -> None:
    one, other = two
    one.hold(30)
    one.hold(5)
    assert 25 < other.take(100) <= 30


def test_one_circuit_for_both(two: tuple[SiteState, SiteState]) -> None:
    one, other = two
    assert one.health() == Health(0, 0.0)
    failed = one.failed()
    assert (failed.failures, failed.open_until) == (1, 0.0)
    assert failed.since > 0
    again = other.failed()
    assert (again.failures, again.since) == (2, failed.since)
    one.open(30)
    assert other.health().open_until > 0
    other.succeeded()
    assert one.health() == Health(0, 0.0)


def test_one_of_both_looks_when_its_time_is_over(two: tuple[SiteState, SiteState]) -> None:
    one, other = two
    # a circuit that was never opened, or still is, is looked at by nobody
    assert [one.claim_look(30), other.claim_look(30)] == [False, False]
    one.open(30)
    assert [one.claim_look(30), other.claim_look(30)] == [False, False]
    # when its time is over, one looks, and for the other it is open again
    one.open(-1)
    assert [other.claim_look(30), one.claim_look(30)] == [True, False]
    assert one.health().open_until > 0
    # one that was opened for longer than there is was noted before a clock was set back
    one.open(3600)
    assert [one.claim_look(30), other.claim_look(30)] == [True, False]


def test_a_minute_later_there_is_room_again(tmp_path: Any, waits: list[float]) -> None:
    state = FileState(tmp_path / "calls")
    assert state.take(1) == 0.0
    waits.append(59.0)
    assert 0.9 < state.take(1) <= 1.0
    waits.append(1.1)
    assert state.take(1) == 0.0


def test_a_clock_that_is_set_back_locks_nobody_out(tmp_path: Any, waits: list[float]) -> None:
    state = FileState(tmp_path / "calls")
    assert state.take(1) == 0.0
    waits.append(-3600.0)
    assert state.take(1) == 0.0


@pytest.mark.parametrize("use", [budget.take, lambda: budget.hold(timedelta(seconds=1)), lambda: circuit.check(bool), circuit.note_failure])
def test_a_state_that_cannot_be_reached_stops_nobody(use: Callable[[], None], settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    use()


def test_a_state_that_cannot_be_reached_is_waited_for_once(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Frozen:
        def health(self) -> Health:
            asked.append("health")
            raise redis.TimeoutError

        def take(self, limit: int) -> float:
            asked.append("take")
            raise redis.TimeoutError

    monkeypatch.setattr(site_state, "current", lambda system: Frozen())
    circuit.check(bool)
    budget.take()
    assert asked == ["health"]
    assert circuit.state().sentence == "How Chargebee is doing is not known: what the processes count together cannot be reached."


def _take_thirty(path: Any, granted: Any) -> None:
    state = FileState(path)
    granted.put(sum(state.take(50) == 0.0 for _ in range(30)))


def test_four_processes_at_once_never_exceed_the_limit(tmp_path: Any) -> None:
    context = multiprocessing.get_context("fork")
    granted = context.SimpleQueue()
    processes = [context.Process(target=_take_thirty, args=(tmp_path / "calls", granted)) for _ in range(4)]
    for process in processes:
        process.start()
    assert sum(granted.get() for _ in processes) == 50
    for process in processes:
        process.join(timeout=10)
