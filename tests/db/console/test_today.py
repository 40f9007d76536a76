"""The page “Today”: figures that are added up once and renewed by a sweep, and what is small asked each time."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from agents.churn.models import WatchFinding
from approvals.models import Case, DailyUse, Figures, Limit, Outcome
from billing_ai.console import figures, tasks
from billing_ai.kernel import clock
from billing_ai.work.models import Tick
from tests import factories

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MONTH = datetime(2026, 3, 1, tzinfo=UTC)


def _came_in(case: Any, minor: int, at: datetime, *, attempt: int = 0, credited: str = "retry") -> None:
    Outcome.objects.create(
        case=case, kind="recovered", credited_to=credited, chargebee_transaction_id=f"txn_{minor}", recovered_minor=minor, currency=case.currency,
        happened_at=at, attempt_number=attempt,
    )  # fmt: skip


def test_the_figures_are_right_by_currency_age_reason_and_attempt(chargebee: Any) -> None:
    with time_machine.travel(NOON, tick=False):
        euro = factories.case(chargebee, due_minor=1_000, overdue_days=40)
        factories.case(chargebee, due_minor=500, overdue_days=35)
        yen = factories.case(chargebee, due_minor=700, currency="JPY", overdue_days=0, category="expired_card")
        done = factories.case(chargebee, due_minor=9_000, status="recovered", waiting_count=0)
        _came_in(done, 9_000, NOON - timedelta(days=1), attempt=2)
        _came_in(yen, 100, MONTH, attempt=11, credited="email")
        _came_in(euro, 50, MONTH - timedelta(seconds=1))  # last month's

        known = figures.known(MONTH)

    assert known.at_risk == {"EUR": 1_500, "JPY": 700}
    assert known.ageing == {"31-60": {"EUR": 1_500}, "0-7": {"JPY": 700}}
    assert known.open_cases == 3
    assert (known.recovered, known.recovered_count) == ({"EUR": 9_000, "JPY": 100}, 2)
    assert {key: (one.count, one.money) for key, one in known.by_reason.items()} == {
        "insufficient_funds": (1, {"EUR": 9_000}), "expired_card": (1, {"JPY": 100}),
    }  # fmt: skip
    assert set(known.by_attempt) == {"2", "11"}
    assert set(known.by_step) == {"retry", "email"}


def _takes(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Adding up takes so long."""
    clocks = itertools.cycle((0.0, seconds))
    monkeypatch.setattr(figures, "perf_counter", lambda: next(clocks))


def test_figures_of_few_cases_are_seconds_old_and_the_page_says_how_old(
    chargebee: Any, as_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _takes(monkeypatch, 0.01)
    with time_machine.travel(NOON, tick=False) as moved:
        assert figures.known(MONTH).open_cases == 0
        factories.case(chargebee)
        moved.shift(timedelta(seconds=2))
        assert figures.known(MONTH).open_cases == 0
        moved.shift(timedelta(seconds=1))
        assert figures.known(MONTH).open_cases == 1
        page = as_user(factories.user("auditor")).get("/console/").content.decode()
    assert '<time datetime="2026-03-10T12:00:03+00:00"' in page
    assert ">12:00:03</time>" in page


def test_what_the_watch_over_churn_found_is_on_the_page(as_user: Any) -> None:
    now = clock.now()
    for name, is_alert in (("usage", True), ("tenure", False)):
        WatchFinding.objects.create(kind="drift", name=name, words=f"{name} has moved", is_alert=is_alert, looked_at=now)
    client = as_user(factories.user("lead"))
    page = client.get("/console/").content.decode()
    assert '<a href="/console/churn/">Churn scores</a> <span class="small quiet">usage has moved</span>' in page
    assert "1 alert<" in page
    WatchFinding.objects.all().delete()
    assert "no alert<" in client.get("/console/").content.decode()


def test_a_page_takes_the_kept_figures_until_they_are_old_and_the_sweep_renews_them(
    chargebee: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _takes(monkeypatch, 30)
    with time_machine.travel(NOON, tick=False) as moved:
        assert figures.known(MONTH).open_cases == 0
        factories.case(chargebee)
        assert figures.known(MONTH).open_cases == 0

        moved.shift(timedelta(seconds=59))
        assert figures.known(MONTH).open_cases == 0
        moved.shift(timedelta(seconds=2))
        assert figures.known(MONTH).open_cases == 1

        factories.case(chargebee)
        tasks.renew_figures()
        assert figures.known(MONTH).open_cases == 2
        tick = Tick.objects.get(schedule="console.figures")
        assert tick.result == "1 renewed"

        moved.shift(timedelta(days=1, seconds=61))
        assert figures.renew() == 0  # nobody has looked for a day
        assert not Figures.objects.exists()


def test_limits_show_what_is_used_today(as_user: Any) -> None:
    limit = Limit.objects.get(agent="dunning", key="daily_count")
    DailyUse.objects.create(agent="dunning", on=clock.utc_date(clock.now()), key="daily_count", used=limit.value // 4)
    DailyUse.objects.create(agent="dunning", on=clock.utc_date(clock.now()) - timedelta(days=1), key="daily_count", used=limit.value)

    page = as_user(factories.user("auditor")).get("/console/").content.decode()

    assert f'<td class="num">{limit.value // 4:,}</td><td class="num">{limit.value:,}</td>' in page
    assert 'style="width:25%"' in page


def test_limits_of_money_are_shown_as_money_and_by_the_currency_that_has_come_furthest(as_user: Any) -> None:
    Limit.objects.filter(agent="dunning", key="daily_amount").update(value=1_000_000)
    Limit.objects.filter(agent="dunning", key="daily_model_spend").update(value=20_000_000)
    for currency, used in (("EUR", 100_000), ("JPY", 400_000)):
        DailyUse.objects.create(agent="dunning", on=clock.utc_date(clock.now()), key=f"daily_amount.{currency}", used=used)

    page = as_user(factories.user("auditor")).get("/console/").content.decode()

    assert '<td class="num">US$4,000.00</td><td class="num">US$10,000.00</td>' in page
    assert '<td class="num">US$20.00</td>' in page
    assert 'style="width:40%"' in page


def test_a_case_about_no_invoice_is_not_due(chargebee: Any) -> None:
    factories.case(chargebee, due_minor=5_000, currency="EUR")
    Case.objects.create(kind="churn", agent="churn", chargebee_customer_id="c", currency="USD", amount_due_minor=0, trace_id="1" * 32)
    found = figures.known(MONTH)
    assert (found.at_risk, found.open_cases) == ({"EUR": 5_000}, 1)


@pytest.mark.parametrize("role", ["specialist", "nobody"])
def test_only_who_may_see_cases_sees_figures(as_user: Any, chargebee: Any, role: str) -> None:
    factories.case(chargebee, due_minor=123_456)
    page = as_user(factories.user(role)).get("/console/").content.decode()
    assert ("1,234.56" in page) is (role == "specialist")
