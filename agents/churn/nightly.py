"""Everyone's score, once a night: in batches by customer id, each with its cursor in one transaction, so that a crash costs one batch.

All figures of a night are of one moment (`as_of`). A worker holds the night by a lease; when it dies, the next sweep goes on at the cursor.
A night that is not done when the next one begins is given up, since its figures would be old.
"""

from __future__ import annotations

import logging
import time
from datetime import date, datetime, timedelta

import numpy as np
from django.db import IntegrityError, transaction

from agents.churn import interventions, knobs, peers, scoring, storing
from agents.churn.gather import Chosen, Gathered, Sources, gather, sources
from agents.churn.interventions import RuleValue, Situation
from agents.churn.models import ChurnScore, Intervention, ScoringRun
from agents.churn.scoring import BatchScores, Scorer
from agents.churn.storing import Stored
from agents.models import AgentRun
from billing_ai.facts.models import Customer
from billing_ai.kernel import clock, ids
from billing_ai.work.models import Lane
from billing_ai.work.wake import wake

logger = logging.getLogger(__name__)
BATCH = 20_000
LEASE = timedelta(minutes=3)
SLICE_SECONDS = 60.0
"""After so long a worker lets go, so that others get their turn; the next task goes on."""
NIGHT = "night"
"""The kind of an agent run's subject that is the whole night."""


def work(*, seconds: float = SLICE_SECONDS, batch: int = BATCH) -> str:
    """Score for a while: begin tonight's run when its hour has come, or go on with it. Returns what was done, in words; empty: nothing to do."""
    run = _claim()
    if run is None:
        return ""
    until = time.monotonic() + seconds
    scorer, known, rules = scoring.current(), sources(run.as_of), interventions.rules_in_force()
    try:
        while _one_batch(run, scorer, known, rules, batch):
            if time.monotonic() >= until:
                _let_go(run)
                return f"{run.done:,} of {run.customers:,} scored"
        _finish(run)
    except LostLease as error:
        return str(error)
    return f"all {run.done:,} scored"


def is_due() -> bool:
    """Whether there is a night to begin or to go on with: one look, for a sweep that comes every second."""
    now = clock.now()
    newest = ScoringRun.objects.order_by("-night").values_list("night", "status", "lease_until").first()
    if newest is not None and newest[1] == ScoringRun.RUNNING:
        return newest[2] is None or newest[2] < now
    tonight = _night_of(now)
    if newest is not None and newest[0] >= tonight:
        return False
    # On a new installation nobody waits for the night.
    return Customer.objects.filter(is_deleted=False).exists()


def _night_of(now: datetime) -> date:
    """The night that a moment belongs to: from the hour that a lead has set, until that hour a day later."""
    return clock.utc_date(now - timedelta(hours=knobs.load().night_hour))


def _claim() -> ScoringRun | None:
    """Tonight's run, leased to us; None when it is done, another worker has it, or there is nobody to score."""
    if not is_due():
        return None
    now = clock.now()
    night = _night_of(now)
    with transaction.atomic():
        ScoringRun.objects.filter(status=ScoringRun.RUNNING, night__lt=night).update(
            status=ScoringRun.GIVEN_UP, finished_at=now, lease_until=None, note="not done when the next night began"
        )
        if not ScoringRun.objects.filter(night=night).exists():
            try:
                with transaction.atomic():
                    ScoringRun.objects.create(night=night, as_of=now, customers=Customer.objects.filter(is_deleted=False).count())
            except IntegrityError:
                return None  # another worker has just begun it
        run = ScoringRun.objects.select_for_update().get(night=night)
        if run.status != ScoringRun.RUNNING or (run.lease_until is not None and run.lease_until >= now):
            return None
        if run.lease_token is not None:
            run.resumed += 1
            logger.warning("churn.night_resumed", extra={"night": str(night), "after": run.done})
        run.lease_token, run.lease_until = ids.new_id(), now + LEASE
        run.save()
    return run


def _one_batch(run: ScoringRun, scorer: Scorer, known: Sources, rules: tuple[RuleValue, ...], batch: int) -> bool:
    """Score the next customers and move the cursor, in one transaction. False when nobody is left. Raises LostLease."""
    with transaction.atomic():
        mine = ScoringRun.objects.select_for_update().get(pk=run.pk)
        if mine.lease_token != run.lease_token:
            raise LostLease(run.night)
        customers = Customer.objects.filter(is_deleted=False, pk__gt=mine.last_customer_id).order_by("pk")
        listed = list(customers.values_list("pk", flat=True)[:batch])
        if not listed:
            return False
        which = Chosen(after=mine.last_customer_id, until=listed[-1])
        gathered = gather(listed, run.as_of, known, chosen=which)
        before = storing.read_before(listed, run.as_of, chosen=which, locked=True)
        newer = before.scored_at > run.as_of.timestamp()
        if newer.any():  # scored by live news since the night began: theirs is the later word
            kept = np.flatnonzero(~newer)
            gathered, before = gathered.take(kept), before.take(kept)
        scores = scorer.score(gathered.columns)
        stored = storing.store(gathered, scores, before, run.as_of, scorer.version)
        started = _start_runs(run, gathered, scores, stored, rules)
        _count(mine, scores, gathered, stored, started, int(newer.sum()))
        mine.last_customer_id, mine.done, mine.batches = listed[-1], mine.done + len(listed), mine.batches + 1
        mine.model_version = scorer.version
        mine.lease_until = clock.now() + LEASE
        mine.save()
    for name in ("last_customer_id", "done", "batches", "figures", "lease_until", "model_version"):
        setattr(run, name, getattr(mine, name))
    logger.info("churn.batch_scored", extra={"night": str(run.night), "done": run.done, "of": run.customers})
    return True


class LostLease(Exception):
    """Another worker goes on with this night: ours took too long over a batch, whose transaction is rolled back."""

    def __init__(self, night: date) -> None:
        super().__init__(f"the night of {night} was taken over by another worker")


def _start_runs(run: ScoringRun, gathered: Gathered, scores: BatchScores, stored: Stored, rules: tuple[RuleValue, ...]) -> int:
    """A run for each customer whom a rule fits and no cool-down protects: there the one decision about them is made."""
    seen = Situation(
        scores.bands,
        stored.bands_before,
        stored.band_changed_at,
        stored.trends,
        gathered.segments,
        gathered.is_active,
        run.as_of.timestamp(),
    )
    fits = [gathered.ids[at] for at in np.flatnonzero(interventions.fitting(rules, seen) >= 0).tolist()]
    if not fits:
        return 0
    cooling = set(
        Intervention.objects.filter(chargebee_customer_id__in=fits, cool_down_until__gt=clock.now()).values_list(
            "chargebee_customer_id", flat=True
        )
    )
    rows = [
        AgentRun(
            agent="churn",
            subject_kind="customer",
            subject_id=customer_id,
            cause=f"{NIGHT}:{run.night}",
            cause_type="schedule",
            chargebee_customer_id=customer_id,
            lane=Lane.BATCH,
        )
        for customer_id in fits
        if customer_id not in cooling
    ]
    AgentRun.objects.bulk_create(rows, batch_size=1_000, ignore_conflicts=True)
    return len(rows)


def _count(run: ScoringRun, scores: BatchScores, gathered: Gathered, stored: Stored, started: int, newer: int) -> None:
    figures = dict(run.figures)
    bands = dict(figures.get("bands", {}))
    counts = np.bincount(scores.bands[gathered.is_active], minlength=len(ChurnScore.BANDS))
    for band, count in zip(ChurnScore.BANDS, counts.tolist(), strict=True):
        bands[band] = bands.get(band, 0) + count
    figures["bands"] = bands
    for name, count in (
        ("band_changes", stored.changes), ("history_points", stored.history), ("departures", stored.departures), ("fitting_a_rule", started),
        ("scored_later_by_news", newer),
    ):  # fmt: skip
        figures[name] = figures.get(name, 0) + count
    run.figures = figures


def _let_go(run: ScoringRun) -> None:
    """Whoever comes next goes on, without it counting as a crash."""
    ScoringRun.objects.filter(pk=run.pk, lease_token=run.lease_token).update(lease_until=None, lease_token=None)
    with transaction.atomic():
        wake("churn.night")


def _finish(run: ScoringRun) -> None:
    """What rests on everyone's scores: the medians of each segment, and one run that proposes the night's push to the CRM."""
    peers.compute(run.as_of)
    with transaction.atomic():
        mine = ScoringRun.objects.select_for_update().get(pk=run.pk)
        if mine.lease_token != run.lease_token:
            raise LostLease(run.night)
        mine.status, mine.finished_at, mine.lease_until, mine.lease_token = ScoringRun.DONE, clock.now(), None, None
        mine.save()
        AgentRun.objects.bulk_create(
            [AgentRun(agent="churn", subject_kind=NIGHT, subject_id=str(run.night), cause=f"push:{run.night}", cause_type="schedule", lane=Lane.BATCH)],
            ignore_conflicts=True,
        )  # fmt: skip
        wake("agents.tick")
    logger.info("churn.night_done", extra={"night": str(run.night), "customers": run.done, "resumed": run.resumed})
