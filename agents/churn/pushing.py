"""The night's scores for the CRM: one proposal for all that changed, with a count and a sample. The rows are staged where the action finds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from django.db import transaction

from agents.churn import sent_scores
from agents.churn.models import ChurnScore, ScoringRun
from agents.churn.packing import unpack
from agents.churn.signals import BY_NAME, FIELDS, SIGNALS, FloatArray
from agents.models import AgentRun
from agents.platform.contract import NothingToDo
from approvals import crm_fields, crm_pushes
from approvals.contract import CaseDraft, ProposalDraft, Reason
from approvals.policy import phase_rules, rules
from approvals.policy.subject import Subject
from billing_ai.kernel import clock
from billing_ai.kernel.money import Money

CASE_KIND = "crm_push"
_CURRENCY = "USD"
_AT_ONCE = 5_000
_LONGEST_WHY = 250
_COLUMNS = ("chargebee_customer_id", "p30", "p60", "p90", "band", "trend", "health", "reason_codes", "scored_at")


@dataclass(frozen=True, slots=True)
class PushContext:
    """The staged push of one night, and how many customers are in each band."""

    night: str
    payload: Mapping[str, Any]
    bands: Mapping[str, int]


def load(run: AgentRun) -> PushContext:
    """Stage the night's scores, once however often the run is tried. Raises NothingToDo when there is no CRM, no score, or only observing."""
    if not crm_fields.set_up():
        raise NothingToDo("no CRM is set up, so the scores stay here")
    if _is_observed():
        raise NothingToDo("the agent only observes: nothing goes to the CRM")
    # In a transaction of its own: what it learned stays known when there is nothing to send.
    sent_scores.learn()
    with transaction.atomic():
        night = ScoringRun.objects.select_for_update().filter(night=date.fromisoformat(run.subject_id), status=ScoringRun.DONE).first()
        if night is None:
            raise NothingToDo("this night's scoring did not come to its end")
        payload = night.figures.get("push")
        if payload is None:
            payload = crm_pushes.stage(sent_scores.changed(rows()), as_of=night.as_of)
        if payload is None:
            raise NothingToDo("there is no score that the CRM does not have already")
        night.figures = {**night.figures, "push": payload}
        night.save(update_fields=["figures"])
    return PushContext(str(night.night), payload, night.figures.get("bands", {}))


def build(context: PushContext) -> tuple[CaseDraft, Sequence[ProposalDraft], Mapping[str, Any]]:
    """One case of the night, and the push."""
    count = int(context.payload["count"])
    alarming = sum(context.bands.get(band, 0) for band in (ChurnScore.HIGH, ChurnScore.CRITICAL))
    night, scored = date.fromisoformat(context.night), sum(context.bands.values())
    sentence = (
        f"{scored:,} customers were scored in the night of {night.day} {night:%b %Y}; {alarming:,} {'is' if alarming == 1 else 'are'} at high or critical risk. "
        f"{count:,} {'is' if count == 1 else 'are'} not in the CRM with the present score."
    )
    case = CaseDraft(
        kind=CASE_KIND,
        customer_id="",
        invoice_id="",
        amount_due=Money(0, _CURRENCY),
        category="",
        headline=sentence,
        likelihood_bp=0,
        uplift_bp=0,
        tier="",
        country="",
        locale="en",
        next_action="Look at the sample, then send the scores to the CRM",
        reasons=(Reason("night", sentence),),
    )
    push = ProposalDraft(
        "crm_push", f"push:{context.night}", Money(0, _CURRENCY), dict(context.payload), reasons=(Reason("night", sentence),)
    )
    return case, (push,), {"night": context.night, "count": count, "push": context.payload["push"]}


def rows() -> Iterator[crm_pushes.Row]:
    """What goes to the CRM of each customer who can be left; a few thousand in memory at a time."""
    last = 0
    while True:
        listed = list(
            ChurnScore.objects.filter(is_active=True, pk__gt=last).order_by("pk").values_list("pk", *_COLUMNS, *FIELDS)[:_AT_ONCE]
        )
        if not listed:
            return
        last = listed[-1][0]
        shift = 1 + len(_COLUMNS)
        figures = np.array([row[shift:] for row in listed], dtype=np.float64)
        columns = dict(zip(FIELDS, figures.T, strict=True))
        values = {signal.name: signal.of(columns) for signal in SIGNALS}
        for position, row in enumerate(listed):
            customer_id, p30, p60, p90, band, trend, health, codes, scored_at = row[1:shift]
            yield (
                customer_id,
                {
                    "churn_30": round(p30 * 100),
                    "churn_60": round(p60 * 100),
                    "churn_90": round(p90 * 100),
                    "churn_band": band,
                    "churn_trend": trend,
                    "health": None if health is None else round(health),
                    "why": _why(codes, values, position),
                    "scored_at": scored_at.isoformat(timespec="seconds"),
                },
            )


def _why(codes: int, values: Mapping[str, FloatArray], position: int) -> str:
    said = []
    for name in unpack(codes)[0]:
        signal, value = BY_NAME[name], float(values[name][position])
        if np.isfinite(value):
            said.append(f"{signal.words}: {signal.shape.format(value)}")
    return "; ".join(said)[:_LONGEST_WHY]


def _is_observed() -> bool:
    asked = Subject(
        id="", agent="churn", action="crm_push", step="", amount=Money(0, _CURRENCY), customer_id="", invoice_id="", kind=CASE_KIND
    )
    phase = phase_rules.phase_for(asked, rules.current(clock.now()))
    return phase is not None and phase.phase == phase_rules.OBSERVE
