"""The page “Today”: what waits, what is at risk, what came in, and whether everything runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from approvals import ways_out
from approvals.admin.queue_query import AGEING, count_text, view_counts
from approvals.policy import limits
from approvals.policy.reference import reference_currency
from approvals.wording import words
from approvals.wording.reader import Reader, reader_of
from billing_ai.console.charts import lying_bars, standing_bars
from billing_ai.console.figures import NO_DATE, Group, Known, Small, known, small
from billing_ai.integrations.chargebee import circuit
from billing_ai.integrations.site_state import CHARGEBEE
from billing_ai.kernel import clock

_LATE = timedelta(minutes=5)
"""A sweep that has not run for so long, or news that has waited so long, is worth a look."""
_NEAR_PERCENT = 80
"""How much of a daily limit is used when the table of limits opens by itself."""


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's callback for the admin's index."""
    reader = reader_of(request)
    if not request.user.has_perm("approvals.view_case"):
        return {**context, "reader": reader, "title": "Today", "may_see": False}
    today = reader.today()
    figures, now_small = known(datetime(today.year, today.month, 1, tzinfo=reader.zone)), small()
    counts = view_counts(request.user, reader)  # type: ignore[arg-type]  # the admin lets only stored users in
    health, rows_of_limits = _health(figures, now_small, reader), _limits(now_small, reader)
    parked = sum(figures.counts[key] for key in ("event", "run", "execution"))
    return {
        **context,
        "title": "Today",
        "reader": reader,
        "may_see": True,
        "known": figures,
        "small": now_small,
        "tiles": [
            ("To decide", count_text(counts["all"]), "?", counts["all"] > 0),
            ("Mine", count_text(counts["mine"]), "?view=mine", False),
            ("Due today", count_text(counts["due"]), "?view=due", False),
            ("Promises broken", count_text(counts["broken"]), "?view=broken", False),
            ("Second approval", count_text(counts["second"]), "?view=second", False),
            ("Escalated", count_text(counts["escalated"]), "?view=escalated", False),
        ],
        "parked": count_text(parked),
        "observed": count_text(figures.counts["observed"]),
        "at_risk": _sums(figures.at_risk, reader),
        "ageing": _ageing(figures, reader),
        "recovered": _sums(figures.recovered, reader),
        "charts": _charts(figures, reader),
        "spend": _spend(now_small, reader),
        "limits": rows_of_limits,
        "is_near_a_limit": any(row["share"] >= _NEAR_PERCENT for row in rows_of_limits),
        "health": health,
        "sweeps_in_time": sum(row["title"].startswith("Sweep") and not row["light"] for row in health),
        "switches_on": [switch for switch in now_small.switches if switch.is_on],
        "agents": sorted({phase.agent for phase in now_small.phases} | {row["agent"] for row in figures.runs} | {"dunning"}),
        "may_switch": request.user.has_perm("approvals.change_rules"),
    }


def _sums(money: dict[str, int], reader: Reader) -> list[str]:
    return [reader.minor(minor, currency) for currency, minor in sorted(money.items(), key=lambda row: row[0])]


def _ageing(known: Known, reader: Reader) -> list[tuple[str, str, list[str]]]:
    """How long it has been due: the bucket, its filter of the queue, the sums."""
    titles = {**{key: row[0] for key, row in AGEING.items()}, NO_DATE: "No due date"}
    return [(title, key if key in AGEING else "", _sums(known.ageing[key], reader)) for key, title in titles.items() if key in known.ageing]


_DAILY = (limits.DAILY_COUNT, limits.DAILY_AMOUNT)
_MONEY = (limits.AMOUNT_PER_ACTION, limits.SECOND_PAIR_OF_EYES, limits.SPECIALIST, limits.DAILY_AMOUNT)


def _limits(now_small: Small, reader: Reader) -> list[dict[str, Any]]:
    """Each limit; of one that counts by the day also how much is used up today, as far as a meter goes."""
    cents_of = reference_currency()

    def words_of(key: str, value: int) -> str:
        if key == limits.DAILY_MODEL_SPEND:
            return reader.minor(value // 10_000, "USD")  # kept in millionths of a dollar
        return reader.minor(value, cents_of) if key in _MONEY else reader.number(value)

    rows = []
    for limit in now_small.limits:
        used = now_small.used.get((limit.agent, limit.key), 0) if limit.key in _DAILY else None
        share = min(100, round(100 * used / limit.value)) if used is not None and limit.value else 0
        rows.append(
            {
                "agent": limit.agent,
                "key": limit.key,
                "value": words_of(limit.key, limit.value),
                "used": words_of(limit.key, used) if used is not None else "",
                "is_daily": used is not None,
                "share": share,
            }
        )
    return rows


def _charts(known: Known, reader: Reader) -> list[dict[str, Any]]:
    def ready(title: str, empty: str, rows: list[tuple[str, Group]]) -> dict[str, Any]:
        bars = [(label, float(row.count), reader.number(row.count)) for label, row in rows]
        table = [(label, reader.number(row.count), _sums(row.money, reader)) for label, row in rows]
        return {"title": title, "empty": empty, "chart": lying_bars(bars), "table": table}

    reasons = sorted(known.by_reason.items(), key=lambda item: -item[1].count)[:8]
    steps = sorted(known.by_step.items(), key=lambda item: -item[1].count)
    attempts = sorted(known.by_attempt.items(), key=lambda item: int(item[0]))[:8]
    return [
        ready(
            "Recovered this month, by reason of the failure",
            "Nothing has come in this month yet.",
            [(words.category(key).replace(", no reason given", ""), row) for key, row in reasons],
        ),
        ready(
            "Recovered this month, by what brought it in",
            "Nothing has come in this month yet.",
            [(words.CREDITED.get(k, words.plain(k)), row) for k, row in steps],
        ),
        ready(
            "Recovered this month, by attempt",
            "Nothing has come in this month yet.",
            [(f"Attempt {key}" if key != "0" else "Without an attempt", row) for key, row in attempts],
        ),
    ]


def _spend(known: Small, reader: Reader) -> dict[str, Any]:
    days = [clock.now().date() - timedelta(days=back) for back in range(13, -1, -1)]
    per_day = {day: sum(row[2] for row in known.spend if row[0] == day) for day in days}
    calls = sum(row[3] for row in known.spend)
    rows = [(f"{day.day}", per_day[day] / 1_000_000, f"${per_day[day] / 1_000_000:,.4f}") for day in days]
    return {
        "chart": standing_bars(rows),
        "table": [(reader.day(day), f"${per_day[day] / 1_000_000:,.4f}") for day in days],
        "total": f"${sum(per_day.values()) / 1_000_000:,.2f}",
        "calls": reader.number(calls),
        "unknown": sum(row[4] for row in known.spend),
        "has_any": bool(calls),
    }


def _health(known: Known, now_small: Small, reader: Reader) -> list[dict[str, str]]:
    now, counts = clock.now(), known.counts
    site = circuit.state()
    away = {outage.system: outage for outage in ways_out.outages()}
    noticed = {system: f"first noticed {reader.ago(outage.since)}" for system, outage in away.items()}
    rows = [
        {
            "light": "bad" if site.is_open else "" if site.is_well else "warn",
            "title": "Chargebee",
            "said": site.sentence,
            "more": noticed.pop(CHARGEBEE, ""),
        },
        *(
            {"light": "bad", "title": away[system].label, "said": "is away; what goes by it waits, and nothing is lost", "more": said}
            for system, said in noticed.items()
        ),
        {
            "light": "warn" if known.oldest_event and now - known.oldest_event > _LATE else "",
            "title": "News from Chargebee",
            "said": f"the last came {reader.ago(known.newest_event)}" if known.newest_event else "none has come yet",
            "more": f"{count_text(counts['events_waiting'])} waiting"
            + (f", the oldest since {reader.ago(known.oldest_event)}" if known.oldest_event else ""),
        },
        {"light": "", "title": "Agents", "said": f"{count_text(counts['runs_waiting'])} runs waiting", "more": ""},
        {"light": "", "title": "Approved and due", "said": f"{count_text(counts['executions_waiting'])} waiting to go out", "more": ""},
    ]
    for kind, title in (("event", "Parked events"), ("run", "Parked runs"), ("execution", "Calls that a person must settle")):
        rows.append(
            {
                "light": "bad" if counts[kind] else "",
                "title": title,
                "said": count_text(counts[kind]) if counts[kind] else "none",
                "more": "",
            }
        )
    alerts = now_small.alerts
    rows.append(
        {
            "light": "warn" if alerts else "",
            "title": "Churn scores",
            "said": f"{len(alerts)} alert{'s' if len(alerts) != 1 else ''}" if alerts else "no alert",
            "more": alerts[0] if alerts else "",
            "href": reverse("console:churn_watch"),
        }
    )
    for tick in now_small.ticks:
        late = tick.finished_at is None or (tick.started_at is not None and tick.finished_at < tick.started_at - _LATE)
        late = late or tick.overdue(now) > _LATE
        rows.append(
            {
                "light": "bad" if tick.problems else "warn" if late else "",
                "title": f"Sweep: {words.plain(tick.schedule)}",
                "said": f"ran {reader.ago(tick.finished_at)}" if tick.finished_at else "has not finished yet",
                "more": tick.result,
            }
        )
    return rows
