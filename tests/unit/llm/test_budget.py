"""The budget holds when many calls are made at once."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction

from agents.models import ModelSpend
from agents.platform.llm import budget
from approvals.models import Limit

WORKERS, EACH = 8, 5
TABLES = (ModelSpend, Limit)


@pytest.fixture
def database_for_threads(request, tmp_path):
    """A database that several threads may write to at once: PostgreSQL's own, or a file where SQLite would be in memory."""
    request.getfixturevalue("transactional_db")
    if connection.vendor != "sqlite":
        yield
        return
    known = connections.settings["default"]["NAME"]
    connections.settings["default"]["NAME"] = str(tmp_path / "race.sqlite3")
    try:
        run_in_threads(lambda _: make_tables(), 1)
        yield
    finally:
        connections.settings["default"]["NAME"] = known


def make_tables():
    with connection.schema_editor() as editor:
        for model in TABLES:
            editor.create_model(model)


def run_in_threads(work, count):
    failures = []
    start = threading.Barrier(count)

    def body(number):
        try:
            start.wait()
            work(number)
        except Exception as error:  # noqa: BLE001 - handed to the test, which fails with it
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=body, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_no_race_spends_more_than_the_day_allows(database_for_threads, settings):
    # given money for exactly 11 of 40 calls
    settings.LLM_DAILY_BUDGET_USD = 0.0110
    taken, refused, spent = [], [], []
    lock = threading.Lock()

    def work(number):
        for _ in range(EACH):
            try:
                with transaction.atomic():
                    reservation = budget.reserve(f"agent-{number % 2}", 1_000)
                with lock:
                    taken.append(reservation)
            except budget.BudgetSpent as error:
                with lock:
                    refused.append(error.rule)

    def look(_):
        for row in ModelSpend.objects.all():
            spent.append((row.agent, row.reserved_micro_usd, row.calls))

    # when
    run_in_threads(work, WORKERS)
    run_in_threads(look, 1)
    # then
    assert len(taken) == 11
    assert refused == ["model.daily_budget"] * (WORKERS * EACH - 11)
    assert {agent: (reserved, calls) for agent, reserved, calls in spent}[budget.ALL] == (11_000, 11)
    assert sum(reserved for agent, reserved, _ in spent if agent != budget.ALL) == 11_000


@pytest.mark.django_db
def test_what_is_settled_frees_the_rest(settings):
    settings.LLM_DAILY_BUDGET_USD = 0.001
    reservation = budget.reserve("dunning", 1_000)
    with pytest.raises(budget.BudgetSpent):
        budget.reserve("dunning", 1)
    budget.settle(reservation, 400)
    budget.reserve("dunning", 600)
    assert ModelSpend.objects.get(agent="dunning").spent_micro_usd == 400


@pytest.mark.django_db
def test_calls_of_unknown_cost_count_a_cent_each_and_are_reported_as_unknown(settings):
    settings.LLM_DAILY_BUDGET_USD = 0.02
    for _ in range(2):
        budget.settle(budget.reserve("dunning", None), None)
    with pytest.raises(budget.BudgetSpent, match=r"model\.daily_budget"):
        budget.reserve("dunning", None)
    row = ModelSpend.objects.get(agent="dunning")
    assert (row.spent_micro_usd, row.reserved_micro_usd, row.unknown_cost_calls) == (0, 0, 2)


@pytest.mark.django_db
def test_a_refusal_by_the_agents_limit_takes_nothing_from_the_day(settings):
    Limit.objects.update_or_create(agent="dunning", key=budget.AGENT_LIMIT_KEY, defaults={"value": 0})
    with pytest.raises(budget.BudgetSpent, match=r"model\.agent_budget"), transaction.atomic():
        budget.reserve("dunning", 5)
    assert not ModelSpend.objects.filter(reserved_micro_usd__gt=0).exists()
