"""The night: everyone scored in batches, resumed where it stopped, with runs for those whom a rule fits and one push to the CRM."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agents import runner
from agents.churn import nightly, queries
from agents.churn.models import ChurnScore, Intervention, PeerMedians, ScoringRun
from agents.models import AgentRun
from approvals import crm_pushes
from approvals.models import Case, CrmBatch, Proposal
from billing_ai.kernel import clock
from tests.db.churn.conftest import customer, phase, run_agent, subscription


def _customers(count: int) -> None:
    for number in range(count):
        customer(f"cus_{number:03}", failed=6 if number % 5 == 0 else 0)


def test_everyone_is_scored_once_a_night_and_progress_can_be_asked_for() -> None:
    _customers(10)
    customer("cus_gone", is_deleted=True)
    assert nightly.is_due()
    assert nightly.work(batch=4) == "all 10 scored"
    assert ChurnScore.objects.count() == 10
    progress = queries.nightly_progress()
    assert progress is not None
    assert (progress.status, progress.done, progress.customers, progress.batches, progress.resumed) == ("done", 10, 10, 3, 0)
    run = ScoringRun.objects.get()
    assert run.figures["bands"] == {"low": 8, "medium": 0, "high": 2, "critical": 0}
    assert (run.model_version, run.figures["fitting_a_rule"], run.figures["history_points"]) == ("scorecard-1", 2, 10)
    assert PeerMedians.objects.get(segment="medium").medians["failed_payments"] == 0.0
    # when the sweep comes again before the next night
    assert not nightly.is_due()
    assert nightly.work() == ""
    # and when the next night has come
    clock.shift(clock.offset() + timedelta(days=1))
    assert nightly.work(batch=4) == "all 10 scored"
    assert ScoringRun.objects.count() == 2


def test_a_crash_costs_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a worker that dies in the middle of the third batch
    _customers(12)
    seen: list[list[str]] = []
    gather = nightly.gather

    def dies(ids: list[str], *args: Any, **more: Any) -> Any:
        seen.append(ids)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return gather(ids, *args, **more)

    monkeypatch.setattr(nightly, "gather", dies)
    with pytest.raises(KeyboardInterrupt):
        nightly.work(batch=3)
    assert ChurnScore.objects.count() == 6
    run = ScoringRun.objects.get()
    assert (run.status, run.done, run.last_customer_id) == ("running", 6, "cus_005")
    # when others come while its lease holds, nobody scores twice
    assert nightly.work(batch=3) == ""
    # when the lease has run out, the next one goes on at the cursor
    clock.shift(clock.offset() + nightly.LEASE + timedelta(seconds=1))
    assert nightly.work(batch=3) == "all 12 scored"
    run.refresh_from_db()
    assert (run.status, run.done, run.resumed) == ("done", 12, 1)
    scored = [one for part in seen for one in part]
    assert len(scored) == 12 + 3  # the batch that was cut off, and nothing else, is done twice
    assert ChurnScore.objects.values("scored_at").distinct().count() == 1


def test_a_worker_that_lost_the_night_writes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    _customers(6)
    gather = nightly.gather

    def overtaken(*args: Any, **more: Any) -> Any:
        ScoringRun.objects.update(lease_token=None)
        return gather(*args, **more)

    assert nightly.work(batch=2, seconds=0) == "2 of 6 scored"
    [run] = ScoringRun.objects.all()
    assert run.lease_token is None  # it let go by itself: no crash
    claimed = nightly._claim()
    assert claimed is not None
    assert claimed.resumed == 0
    claimed.lease_token = None
    with pytest.raises(nightly.LostLease):
        nightly._one_batch(claimed, nightly.scoring.current(), nightly.sources(claimed.as_of), (), 2)
    assert ChurnScore.objects.count() == 2


def test_a_night_that_was_not_finished_is_given_up_when_the_next_begins() -> None:
    _customers(4)
    nightly.work(batch=2, seconds=0)
    clock.shift(clock.offset() + timedelta(days=1))
    assert nightly.work() == "all 4 scored"
    old, new = ScoringRun.objects.order_by("night")
    assert (old.status, old.note) == ("given_up", "not done when the next night began")
    assert (new.status, new.done) == ("done", 4)


def test_what_live_news_scored_meanwhile_stays() -> None:
    _customers(3)
    nightly.work(batch=1, seconds=0)
    clock.shift(clock.offset() + timedelta(minutes=1))
    run_agent("cus_002")
    later = ChurnScore.objects.get(chargebee_customer_id="cus_002").scored_at
    nightly.work(batch=5)
    assert ChurnScore.objects.get(chargebee_customer_id="cus_002").scored_at == later
    assert ScoringRun.objects.get().figures["scored_later_by_news"] == 1


def test_those_whom_a_rule_fits_get_a_run_each_and_a_cool_down_holds_in_the_next_night() -> None:
    phase("assist")
    _customers(10)
    nightly.work()
    assert AgentRun.objects.filter(subject_kind="customer").count() == 2
    runner.run_due(10)
    assert set(Proposal.objects.filter(action="crm_task").values_list("chargebee_customer_id", flat=True)) == {"cus_000", "cus_005"}
    clock.shift(clock.offset() + timedelta(days=1))
    nightly.work()
    assert AgentRun.objects.filter(subject_kind="customer", status="waiting").count() == 0
    assert Intervention.objects.count() == 2


def test_the_nights_scores_are_one_proposal_with_a_count_and_a_sample() -> None:
    phase("assist")
    _customers(6)
    subscription("cus_005", status="cancelled", cancelled_at=clock.now())
    nightly.work()
    runner.run_due(10)
    push = Proposal.objects.get(action="crm_push")
    assert push.current is not None
    payload = push.current.payload
    assert (push.status, push.case.kind, payload["count"], len(payload["sample"])) == ("waiting", "crm_push", 5, 5)
    first = payload["sample"][0]
    assert (first["customer_id"], first["churn_band"]) == ("cus_000", "high")
    assert first["why"].startswith("failed payments in 90 days: 6; ")
    assert crm_pushes.hash_of(payload["push"]) == payload["content_hash"]
    assert CrmBatch.objects.count() == 1


def test_while_observing_nothing_is_staged_for_the_crm() -> None:
    _customers(2)
    nightly.work()
    runner.run_due(10)
    run = AgentRun.objects.get(subject_kind="night")
    assert (run.status, run.reason) == ("skipped", "the agent only observes: nothing goes to the CRM")
    assert (CrmBatch.objects.count(), Case.objects.count()) == (0, 0)


def test_nobody_to_score_is_no_night() -> None:
    assert not nightly.is_due()
    assert nightly.work() == ""
    assert ScoringRun.objects.count() == 0
