"""How fast customers are scored: numpy alone, the scorecard and a learned model over arrays, a loop over rows, and the way through PostgreSQL.

    python -m tests.bench.churn_bench [--rows 1000000] [--database postgres://…/scratch]

With --database the rows go COPY out → score → COPY in, a batch a transaction; then once more with a crash in the middle, to count what is done
twice. The tables `churn_bench_in` and `churn_bench_out` are made in a schema of their own, which is dropped at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import resource
import time
from collections.abc import Callable, Iterator

import numpy as np

from agents.churn.binary_copy import decode, encode
from agents.churn.learning.additive import design, from_coefficients
from agents.churn.learning.calibration import Line
from agents.churn.learning.columns import NumericColumn
from agents.churn.learning.features import fit_feature, training_columns
from agents.churn.learning.fitting import export_trees, fit_boosting, fit_ridge, tree_matrix
from agents.churn.learning.model import ChurnModel
from agents.churn.scorecard import HORIZONS_DAYS, RULES, Scorecard, score_columns, score_customer
from agents.churn.signals import FIELDS, CustomerSignals

BATCH = 50_000
_LOOPED = 3000
CARD = Scorecard()
_SCALES = {
    "ticket_tone": (-1, 1),
    "was_reactivated": (0, 1),
    "tenure_days": (0, 2000),
    "mrr_minor": (0, 500_000),
    "mrr_minor_90d_ago": (0, 500_000),
}


def made_up(rows: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Figures of as many customers, a tenth of each missing."""
    random = np.random.default_rng(seed)
    columns = {}
    for name in FIELDS:
        low, high = _SCALES.get(name, (0, 60))
        values = random.uniform(low, high, rows)
        if name != "ticket_tone":
            values = np.floor(values)
        values[random.random(rows) < 0.1] = np.nan
        columns[name] = values
    columns["messages_answered_90d"] = np.minimum(columns["messages_answered_90d"], columns["messages_sent_90d"])
    return columns


def batches(columns: dict[str, np.ndarray], rows: int) -> Iterator[dict[str, np.ndarray]]:
    """Views of BATCH rows."""
    for start in range(0, rows, BATCH):
        yield {name: values[start : min(start + BATCH, rows)] for name, values in columns.items()}


def numpy_alone(columns: dict[str, np.ndarray], rows: int) -> float:
    """The least that the scorecard's arithmetic takes: one interpolation a rule, a sum, an exponential a horizon; nothing kept, nothing named."""
    base = -math.log1p(-CARD.monthly_churn) / 30.0
    total = 0.0
    for batch in batches(columns, rows):
        effect = np.zeros(len(batch["tenure_days"]))
        for rule in RULES:
            effect += np.nan_to_num(rule.effect(rule.signal.of(batch)), copy=False)
        for days in HORIZONS_DAYS:
            total += float((-np.expm1(-base * days * np.exp(effect))).sum())
    return total


def scorecard(columns: dict[str, np.ndarray], rows: int) -> float:
    """Everything: probabilities, the rooms, health, and the effects that reasons are made of."""
    return sum(float(score_columns(batch, CARD).probabilities.sum()) for batch in batches(columns, rows))


def row_loop(columns: dict[str, np.ndarray], rows: int) -> float:
    """The same by one customer at a time, in plain Python and without numpy, as one would first write it."""
    base = -math.log1p(-CARD.monthly_churn) / 30.0
    lists = {name: values[:rows].tolist() for name, values in columns.items()}
    total = 0.0
    for row in range(rows):
        rate = math.exp(score_row(lists, row))
        for days in HORIZONS_DAYS:
            total += -math.expm1(-base * days * rate)
    return total


def score_row(lists: dict[str, list[float]], row: int) -> float:
    """The sum of effects of one row, in plain Python."""
    effect = 0.0
    for rule in RULES:
        value = _value(rule.signal.name, lists, row)
        if value is not None:
            effect += _interpolate(value, rule.knots, rule.effects)
    return effect


_FIELD_OF = {
    "failed_payments": "failed_payments_90d", "late_payments": "late_payments_90d", "disputes": "disputes_180d", "downgrades": "downgrades_180d",
    "tenure": "tenure_days", "discount_ends": "discount_ends_in_days", "card_expires": "card_expires_in_days", "cancellation": "cancellation_in_days",
    "reactivated": "was_reactivated", "tickets_open": "tickets_open", "oldest_ticket": "oldest_ticket_days", "ticket_tone": "ticket_tone",
    "usage": "events_30d",
}  # fmt: skip
_CHANGE_OF = {
    "mrr_change": ("mrr_minor", "mrr_minor_90d_ago"),
    "seat_change": ("seats", "seats_90d_ago"),
    "usage_change": ("events_30d", "events_prior_30d"),
}


def _value(name: str, lists: dict[str, list[float]], row: int) -> float | None:
    if name in _FIELD_OF:
        if name == "oldest_ticket" and lists["tickets_open"][row] == 0:
            return 0.0
        value = lists[_FIELD_OF[name]][row]
        return None if value != value else value
    if name in _CHANGE_OF:
        now, before = (lists[field][row] for field in _CHANGE_OF[name])
        return None if now != now or before != before or before <= 0 else (now - before) / before
    answered, sent = lists["messages_answered_90d"][row], lists["messages_sent_90d"][row]
    return None if answered != answered or sent != sent or sent <= 0 else answered / sent


def _interpolate(value: float, knots: tuple[float, ...], effects: tuple[float, ...]) -> float:
    if value <= knots[0]:
        return effects[0]
    for position in range(1, len(knots)):
        if value <= knots[position]:
            share = (value - knots[position - 1]) / (knots[position] - knots[position - 1])
            return effects[position - 1] + share * (effects[position] - effects[position - 1])
    return effects[-1]


def timed(work: Callable[[], float], repeats: int = 3) -> tuple[float, float]:
    """The processor seconds of the best of some runs, and what it returned."""
    best, result = math.inf, 0.0
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


def learned_model(columns: dict[str, np.ndarray]) -> tuple[ChurnModel, ChurnModel]:
    """A logistic and a boosted model over twelve columns, learned from 20,000 made-up rows."""
    names = FIELDS[:12]
    table = [NumericColumn(name, columns[name][:20_000]) for name in names]
    features = tuple(fit_feature(column) for column in table)
    rows = training_columns(features, table)
    drive = np.nan_to_num(columns["failed_payments_90d"][:20_000] / 30 - columns["tenure_days"][:20_000] / 1000)
    labels = (np.random.default_rng(2).random(20_000) < 1 / (1 + np.exp(1 - drive))).astype(np.int8)
    built = design(features, rows)
    additive = from_coefficients(features, rows, built, *fit_ridge(built.matrix, labels, 10.0))
    ensemble = export_trees(features, fit_boosting(tree_matrix(features, rows), labels, 200, 1))
    line = Line(0.0, 1.0, 0.0, 0.0)
    return ChurnModel("logistic", features, additive, 0.0, None, line), ChurnModel(
        "boosted", features, None, ensemble.baseline, ensemble.trees, line
    )


def model_scores(model: ChurnModel, columns: dict[str, np.ndarray], rows: int) -> float:
    """A learned model over all rows."""
    total = 0.0
    for batch in batches(columns, rows):
        table = [NumericColumn(feature.name, batch[feature.name]) for feature in model.features]
        total += float(model.probabilities(training_columns(model.features, table)).sum())
    return total


def through_postgresql(url: str, columns: dict[str, np.ndarray], rows: int) -> dict[str, float]:
    """COPY out → score → COPY in, wall clock, with the share that is arithmetic; and what a crash in the middle costs."""
    import psycopg

    kinds = ["int8", *["float8"] * len(FIELDS)]
    read = ", ".join(f"coalesce({name}, 'NaN')" for name in FIELDS)
    with psycopg.connect(url) as connection:
        connection.execute("DROP SCHEMA IF EXISTS churn_bench CASCADE")
        connection.execute("CREATE SCHEMA churn_bench")
        connection.execute("SET search_path TO churn_bench")
        connection.execute(f"CREATE TABLE churn_bench_in (id bigint PRIMARY KEY, {', '.join(f'{name} float8' for name in FIELDS)})")
        connection.execute(
            "CREATE TABLE churn_bench_out (id bigint PRIMARY KEY, within_30 float8, within_60 float8, within_90 float8, health float8, band bigint)"
        )
        connection.execute("CREATE TABLE churn_bench_cursor (reached bigint NOT NULL)")
        connection.execute("INSERT INTO churn_bench_cursor VALUES (0)")
        for start in range(0, rows, BATCH):
            part = [np.arange(start + 1, min(start + BATCH, rows) + 1), *(values[start : start + BATCH] for values in columns.values())]
            with connection.cursor().copy("COPY churn_bench_in FROM STDIN (FORMAT BINARY)") as copy:
                copy.write(encode(part))
        connection.execute("ANALYZE churn_bench_in")
        connection.commit()
        spent = {"arithmetic": 0.0, "scored": 0}

        def run(crash_after: int | None = None) -> None:
            done = 0
            while True:
                with connection.transaction():
                    row = connection.execute("SELECT reached FROM churn_bench_cursor FOR UPDATE").fetchone()
                    reached = int(row[0]) if row else 0
                    query = f"COPY (SELECT id, {read} FROM churn_bench_in WHERE id > {reached} ORDER BY id LIMIT {BATCH}) TO STDOUT (FORMAT BINARY)"
                    with connection.cursor().copy(query) as copy:
                        ids, *values = decode(b"".join(copy), kinds)
                    if not len(ids):
                        return
                    start = time.perf_counter()
                    scores = score_columns(dict(zip(FIELDS, values, strict=True)), CARD)
                    band = np.searchsorted(np.array([0.1, 0.3]), scores.probabilities[:, 2])
                    spent["arithmetic"] += time.perf_counter() - start
                    with connection.cursor().copy("COPY churn_bench_out FROM STDIN (FORMAT BINARY)") as copy:
                        copy.write(encode([ids, *scores.probabilities.T, scores.health, band]))
                    done += 1
                    spent["scored"] += len(ids)
                    if crash_after == done:
                        raise KeyboardInterrupt
                    connection.execute("UPDATE churn_bench_cursor SET reached = %s", [int(ids[-1])])

        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        arithmetic = spent["arithmetic"]
        connection.execute("TRUNCATE churn_bench_out")
        connection.execute("UPDATE churn_bench_cursor SET reached = 0")
        connection.commit()
        middle = max(1, rows // BATCH // 2)
        spent["scored"] = 0
        with contextlib.suppress(KeyboardInterrupt):
            run(crash_after=middle)
        run()
        loop_start = time.perf_counter()
        for row_id in range(1, _LOOPED + 1):
            found = connection.execute(f"SELECT {', '.join(FIELDS)} FROM churn_bench_in WHERE id = %s", [row_id]).fetchone()
            lists = {name: [math.nan if value is None else value] for name, value in zip(FIELDS, found or (), strict=True)}
            effect = score_row(lists, 0)
            connection.execute("UPDATE churn_bench_out SET within_90 = %s WHERE id = %s", [-math.expm1(-0.06 * math.exp(effect)), row_id])
        connection.commit()
        loop_seconds = time.perf_counter() - loop_start
        count = connection.execute("SELECT count(*), count(DISTINCT id) FROM churn_bench_out").fetchone()
        connection.execute("DROP SCHEMA churn_bench CASCADE")
    if count != (rows, rows):
        raise SystemExit(f"after the crash {count} rows stand where {rows} should")
    return {
        "rows_a_second": rows / seconds,
        "arithmetic_share": arithmetic / seconds,
        "scored_again_after_crash": spent["scored"] - rows,
        "row_loop": _LOOPED / loop_seconds,
    }


def main() -> None:
    """Measure and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database")
    options = parser.parse_args()
    rows = options.rows
    columns = made_up(rows)
    small = min(rows, 20_000)
    figures: dict[str, float] = {}
    alone, _ = timed(lambda: numpy_alone(columns, rows))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    whole, _ = timed(lambda: scorecard(columns, rows))
    figures["memory_growth_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    loop, loop_sum = timed(lambda: row_loop(columns, small), repeats=1)
    _, same_sum = timed(lambda: numpy_alone(columns, small), repeats=1)
    if not math.isclose(loop_sum, same_sum, rel_tol=1e-9):
        raise SystemExit(f"the loop gives {loop_sum}, numpy gives {same_sum}")
    one = [
        CustomerSignals(**{name: None if math.isnan(columns[name][row]) else float(columns[name][row]) for name in FIELDS})
        for row in range(200)
    ]
    live, _ = timed(lambda: sum(score_customer(customer, CARD).within[90] for customer in one), repeats=1)
    figures |= {
        "numpy_alone": rows / alone,
        "scorecard": rows / whole,
        "row_loop": small / loop,
        "live_one_by_one_with_reasons": 200 / live,
    }
    figures["scorecard_over_numpy"] = alone / whole
    figures["scorecard_over_loop"] = (rows / whole) / (small / loop)
    logistic, boosted = learned_model(columns)
    for name, model in (("logistic", logistic), ("boosted", boosted)):
        seconds, _ = timed(lambda model=model: model_scores(model, columns, rows), repeats=1)  # type: ignore[misc]  # bound as a default
        figures[name] = rows / seconds
    if options.database:
        figures |= {f"postgresql_{name}": value for name, value in through_postgresql(options.database, columns, rows).items()}
        figures["postgresql_over_loop"] = figures["postgresql_rows_a_second"] / figures["postgresql_row_loop"]
    for name, value in figures.items():
        print(f"{name:<40}{value:>16,.2f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
