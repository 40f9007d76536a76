"""What matured scores say: calibration, drift, the effect of interventions, and a model that is offered and never live by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from agents import releasing
from agents.churn import learned, matured, relearning, watching
from agents.churn.learning.artefact import UnusableModel
from agents.churn.models import ChurnHistory, ChurnScore, Departure, Intervention, ModelFile, WatchFinding
from agents.churn.scoring import current
from agents.models import Release
from approvals.people import Refused
from audit.models import Entry
from tests.db.churn.conftest import NOW, customer, run_agent
from tests.factories import user


def _history(customers: int, *, rate: float = 0.2, said: float | None = None, months: int = 8, seed: int = 1) -> None:
    """Points a month apart; who fails to pay leaves more often, some days after a point."""
    random = np.random.default_rng(seed)
    points, gone = [], []
    for number in range(customers):
        for month in range(months, 0, -1):
            at = NOW - timedelta(days=90 + 30 * month)
            failed = float(random.poisson(1.0))
            chance = rate * (2.0 if failed >= 2 else 0.2)
            figures: dict[str, Any] = {
                "failed_payments_90d": failed, "tenure_days": float(random.integers(10, 1000)), "cancellation_in_days": float("inf"),
                "events_30d": float(random.poisson(20)),
            }  # fmt: skip
            points.append(
                ChurnHistory(
                    chargebee_customer_id=f"cus_{number}",
                    scored_at=at,
                    p30=0.1,
                    p60=0.1,
                    p90=chance if said is None else said,
                    health=60.0,
                    band="low",
                    segment="medium" if number % 2 else "small",
                    model_version="scorecard-1",
                    **figures,
                )
            )
            if random.random() < chance:
                gone.append(
                    Departure(chargebee_customer_id=f"cus_{number}", left_at=at + timedelta(days=float(random.uniform(1, 29))), seen_at=at)
                )
                break
    ChurnHistory.objects.bulk_create(points, batch_size=1_000)
    Departure.objects.bulk_create(gone, batch_size=1_000)


def test_matured_points_have_the_label_of_each_horizon_and_young_ones_are_left_out() -> None:
    for days, customer_id in ((95, "cus_1"), (95, "cus_2"), (89, "cus_3")):
        ChurnHistory.objects.create(
            chargebee_customer_id=customer_id, scored_at=NOW - timedelta(days=days), p30=0, p60=0, p90=0.3, band="low", model_version="m"
        )
    Departure.objects.create(chargebee_customer_id="cus_1", left_at=NOW - timedelta(days=50), seen_at=NOW)
    rows = matured.read(NOW)
    assert rows.customer_ids == ["cus_1", "cus_2"]
    assert {days: values.tolist() for days, values in rows.labels.items()} == {30: [0, 0], 60: [1, 0], 90: [1, 0]}
    assert np.isnan(rows.columns["failed_payments_90d"]).all()


def test_chances_that_came_true_are_no_alert_and_those_that_did_not_are_one_that_is_written_down_once() -> None:
    _history(400, months=1)
    found = {(one.kind, one.name): one for one in watching.look(NOW)}
    whole = found["calibration", "everyone"]
    assert not whole.is_alert, whole.words
    assert {name for kind, name in found if kind == "calibration"} == {"everyone", "medium", "small"}
    ChurnHistory.objects.update(p90=0.9)
    for _ in range(2):
        watching.look(NOW)
    whole = WatchFinding.objects.get(kind="calibration", name="everyone")
    assert whole.is_alert
    assert Entry.objects.filter(kind="churn.watch_alert").count() == 3  # everyone and two segments, once each


def test_customers_who_no_longer_look_as_they_did_are_an_alert() -> None:
    random = np.random.default_rng(3)
    for number in range(300):
        common: dict[str, Any] = {"p30": 0.1, "p60": 0.1, "band": "low", "model_version": "m"}
        ChurnHistory.objects.create(
            chargebee_customer_id=f"cus_{number}",
            scored_at=NOW - timedelta(days=40),
            p90=float(random.uniform(0, 0.5)),
            tenure_days=float(random.uniform(0, 1000)),
            events_30d=float(random.poisson(20)),
            **common,
        )
        ChurnScore.objects.create(
            chargebee_customer_id=f"cus_{number}",
            scored_at=NOW,
            p90=float(random.uniform(0, 0.5)),
            tenure_days=float(random.uniform(0, 1000)),
            events_30d=float(random.poisson(4)),
            **common,
        )
    found = {one.name: one for one in watching.look(NOW) if one.kind in ("drift", "scores")}
    assert found["usage"].is_alert
    assert not found["tenure"].is_alert
    assert not found["p90"].is_alert
    assert found["usage"].threshold is not None
    assert found["usage"].threshold >= 0.1


def test_the_effect_of_interventions_is_told_with_an_interval_or_not_at_all() -> None:
    assert watching.effect(NOW).words.startswith("Not enough data: 0 treated and 0 held out")
    at = NOW - timedelta(days=120)
    rows = [
        Intervention(
            chargebee_customer_id=f"{group}_{number}",
            rule_key="r",
            action="crm_task",
            group=group,
            band="high",
            p90=0.4,
            at=at,
            cool_down_until=at,
        )
        for group, count in (("treated", 300), ("held_out", 150), ("observed", 200))
        for number in range(count)
    ]
    Intervention.objects.bulk_create(rows)
    left = [f"treated_{n}" for n in range(30)] + [f"held_out_{n}" for n in range(45)]
    Departure.objects.bulk_create([Departure(chargebee_customer_id=one, left_at=at + timedelta(days=30), seen_at=NOW) for one in left])
    found = watching.effect(NOW)
    assert found.difference == pytest.approx(0.1 - 0.3)
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.2 < found.high < 0


def test_too_little_to_learn_from_is_said_and_nothing_is_offered() -> None:
    _history(30)
    assert relearning.offer_if_due(NOW).startswith("Not enough has matured to learn from")
    assert Release.objects.count() == 0


def test_a_model_is_offered_with_figures_serves_only_after_a_lead_and_is_checked_by_its_hash() -> None:
    # given enough that has matured
    _history(500)
    customer("cus_live", failed=3)
    said = relearning.offer_if_due(NOW)
    release = Release.objects.get()
    assert said == f"{release.version} is offered"
    # then it is offered with figures on later rows, beside those of the scores that were given; and does not serve
    figures = release.figures
    assert release.status == "offered"
    assert set(figures["kinds"]) == {"logistic", "boosted", "blend"}
    assert figures["kinds"][figures["model"]]["auc"] > 0.6
    assert "90 days between" in figures["split"]
    assert current().version == "scorecard-1"
    assert relearning.offer_if_due(NOW + timedelta(days=1)) == "the last offer is not a month old"
    # when somebody who is no lead tries
    with pytest.raises(Refused):
        releasing.promote(release.pk, user("specialist"), reason="I like it.")
    assert current().version == "scorecard-1"
    # when one lead asks for it, it is noted and no more, however often
    first = user("lead", "ines")
    assert releasing.promote(release.pk, first, reason="Better on later rows.").status == "offered"
    with pytest.raises(Refused, match="another lead"):
        releasing.promote(release.pk, first, reason="I said so.")
    assert current().version == "scorecard-1"
    # when another lead puts it live
    assert releasing.promote(release.pk, user("lead", "omar"), reason="I agree.").status == "live"
    run_agent("cus_live")
    score = ChurnScore.objects.get(chargebee_customer_id="cus_live")
    assert score.model_version == release.version
    assert 0 < score.p30 <= score.p60 <= score.p90 < 1
    # when its bytes are changed, nothing is scored with them
    row = ModelFile.objects.get()
    ModelFile.objects.update(content=bytes(row.content).replace(b"left within", b"LEFT within"))
    with pytest.raises(UnusableModel, match="was changed after it was stored"):
        learned.load(release.content_hash)
