"""A simulated year of customers whose leaving has known causes: what the scores are worth against the truth.

    python -m pytest tests/evals/churn/test_year.py -m slow -s     (CHURN_YEAR_CUSTOMERS=5000 is the default)

The model learns on day 273 from what had matured by then, a lead puts it live, and the scores of that day are held against who left in the
90 days after, which nobody could know. The scorecard's scores of the same day stand beside them, and the chance that the simulator itself
holds, which no score can beat.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.test import override_settings

from agents import releasing
from agents.churn import nightly, relearning
from agents.churn.learning.calibration import fit_line, log_odds_of
from agents.churn.learning.metrics import measure
from agents.churn.models import ChurnScore, InterventionRule
from agents.churn.packing import unpack
from billing_ai.kernel import clock
from billing_ai.simulator.year import Year
from tests.evals.churn.facts_of_year import apply, at, begin
from tests.factories import user

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
CUSTOMERS = int(os.environ.get("CHURN_YEAR_CUSTOMERS", "5000"))
SCORED_ON = 273
HORIZON = 90
SIGNS: dict[str, set[str]] = {
    "payments": {"failed_payments", "late_payments"},
    "unused": {"usage", "usage_change"},
    "support": {"tickets_open", "oldest_ticket", "ticket_tone"},
    "price": {"discount_ends"},
    "shrinking": {"downgrades", "mrr_change", "seat_change"},
}
"""Which signals belong to which cause."""


def _scores() -> dict[str, ChurnScore]:
    return {row.chargebee_customer_id: row for row in ChurnScore.objects.filter(is_active=True)}


def _figures(p90: np.ndarray, left: np.ndarray) -> dict[str, float]:
    found, line = measure(np.clip(p90, 1e-6, 1 - 1e-6), left), fit_line(log_odds_of(np.clip(p90, 1e-6, 1 - 1e-6)), left)
    return {
        "auc": round(found.auc.value, 3), "auc_low": round(found.auc.low, 3), "auc_high": round(found.auc.high, 3),
        "ece": round(found.ece.value, 4), "slope": round(line.slope, 2), "said": round(float(p90.mean()), 4), "happened": round(float(left.mean()), 4),
    }  # fmt: skip


def _night(day: float) -> None:
    clock.shift(at(day) - datetime.now(UTC))
    assert nightly.work(seconds=1e9).startswith("all ")


def test_scores_of_a_year_against_the_truth() -> None:
    InterventionRule.objects.update(is_enabled=False)
    year, counter = Year(CUSTOMERS), [0]
    begin(year)
    with override_settings(SALESFORCE_URL="", HUBSPOT_URL=""):
        for happened in year.weeks(SCORED_ON):
            apply(year, happened, counter)
            if (
                year.day % 14 == 0 or year.day + 7 > SCORED_ON
            ):  # a night every other week: points of history are thinned to one a month anyway
                _night(year.day)
        # given a model learned from what had matured, and the scorecard's scores of the same night
        clock.shift(at(year.day) - datetime.now(UTC))
        by_card = _scores()
        release = relearning.offer(clock.now())
        for lead in ("ines", "omar"):
            releasing.promote(release.pk, user("lead", lead), reason="to measure it")
        clock.shift(clock.offset() + timedelta(days=1))
        assert nightly.work(seconds=1e9).startswith("all ")
        by_model = _scores()
    # when 90 more days have passed
    scored_on = year.day
    truth = {
        number: (year.chance(number), year.at_work(number) - {"unseen"}) for number, made in enumerate(year.customers) if not made.is_gone
    }
    for _ in year.weeks(scored_on + 1 + HORIZON + 7):
        pass
    ids = sorted(set(by_card) & set(by_model))
    numbers = [int(one.removeprefix("cus_")) for one in ids]
    gone = {number: day for number, (day, _) in year.left.items() if scored_on + 1 < day <= scored_on + 1 + HORIZON}
    left = np.array([number in gone for number in numbers], dtype=np.int8)
    results = {
        "customers": len(ids),
        "left": int(left.sum()),
        "model": _figures(np.array([by_model[one].p90 for one in ids]), left),
        "scorecard": _figures(np.array([by_card[one].p90 for one in ids]), left),
        "best_possible_auc": round(measure(np.clip(np.array([truth[n][0] for n in numbers]), 1e-6, 1 - 1e-6), left).auc.value, 3),
        "kind": release.figures["model"],
        "offered_with": release.figures["kinds"][release.figures["model"]],
    }
    # then the reasons of those who left, where the cause was at work when they were scored, name it
    for title, scores in (("model", by_model), ("scorecard", by_card)):
        named: Counter[str] = Counter()
        asked: Counter[str] = Counter()
        first = 0
        for one, number in zip(ids, numbers, strict=True):
            cause = year.left[number][1] if number in gone else ""
            if not cause or cause not in truth[number][1]:
                continue
            raised = unpack(scores[one].reason_codes)[0]
            asked[cause] += 1
            named[cause] += any(signal in SIGNS[cause] for signal in raised[:3])
            first += bool(raised) and raised[0] in SIGNS[cause]
        results[f"reasons_{title}"] = {
            "asked": sum(asked.values()), "first": first, "in_three": sum(named.values()), **{cause: f"{named[cause]}/{asked[cause]}" for cause in asked},
        }  # fmt: skip
        calm = [unpack(scores[one].reason_codes)[0][:3] for one, number in zip(ids, numbers, strict=True) if not truth[number][1]]
        results[f"false_reasons_{title}"] = {
            cause: round(sum(any(signal in signs for signal in raised) for raised in calm) / max(1, len(calm)), 3)
            for cause, signs in SIGNS.items()
        }
    print(json.dumps(results, indent=1))
    clock.shift(timedelta())
    assert results["model"]["auc"] >= results["scorecard"]["auc"] - 0.02
    # of what the simulator's own chance sorts better than a coin, the model has most
    assert results["model"]["auc"] - 0.5 >= 0.6 * (results["best_possible_auc"] - 0.5)
    assert results["model"]["ece"] <= 0.04
