"""Changing how far the machine may go: phases, limits, policies, the kill switch. Each change has a lead, a reason, history and a ledger entry.

Each raises `Refused` with a sentence, and then nothing has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from django.db import transaction

from approvals.models import KillSwitch, Limit, Phase, Policy
from approvals.people import Refused
from approvals.policy import rule_values, switch_turn
from approvals.policy.limits import DAILY_AMOUNT, KEYS, SPECIALIST
from approvals.policy.phase_rules import AUTOMATE, MATCH_KEYS, ORDER
from audit import ledger
from audit.actor import person
from billing_ai.kernel import clock, ids

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import Model

LONGEST_REASON = 2_000


def change_policy(
    key: str,
    user: User,
    *,
    reason: str,
    params: Mapping[str, Any] | None = None,
    is_enabled: bool | None = None,
    effective_from: date | None = None,
) -> Policy:
    """New values for a rule, from a day on (today when none is named; until then the values before hold), or its switch."""
    _may_change_rules(user, reason)
    with transaction.atomic():
        row = Policy.objects.select_for_update().filter(key=key).first()
        if row is None:
            raise Refused("no_such_rule", "There is no such rule.")
        before = {"params": row.params, "is_enabled": row.is_enabled, "effective_from": str(row.effective_from)}
        today = clock.utc_date(clock.now())
        if row.effective_from > today and params is None:
            raise Refused(
                "change_pending", f"A change of this rule takes effect on {row.effective_from}. Give the values that are to hold instead."
            )
        if params is not None:
            problem = rule_values.problem(key, params)
            if problem:
                raise Refused("bad_values", problem)
            row.params = dict(params)
        if is_enabled is not None:
            row.is_enabled = is_enabled
        row.effective_from = effective_from or today
        if row.effective_from < today:
            raise Refused("in_the_past", "A change cannot take effect in the past.")
        _sign(row, user, reason)
        row.save()
        _note("policy.changed", ("policy", key), user, reason, before, _policy_values(row))
        return row


def change_limit(agent: str, key: str, value: int | None, user: User, *, reason: str) -> Limit | None:
    """Set a limit (amounts in reference cents), or take it away with None: then what it guards needs a person."""
    _may_change_rules(user, reason)
    name, _, rest = key.partition(".")
    if name not in KEYS or (rest and name not in (SPECIALIST, DAILY_AMOUNT)) or len(key) > 40:
        raise Refused("no_such_limit", f"Choose one of: {', '.join(KEYS)}.")
    if value is not None and value < 0:
        raise Refused("bad_values", "A limit is not below zero.")
    with transaction.atomic():
        row = Limit.objects.select_for_update().filter(agent=agent, key=key).first()
        before = {"value": row.value if row is not None else None}
        if value is None:
            if row is None:
                raise Refused("no_such_limit", "This limit is not set.")
            _sign(row, user, reason)
            row.delete()
            _note("limit.removed", ("limit", f"{agent}:{key}"), user, reason, before, {"value": None})
            return None
        row = row or Limit(agent=agent, key=key)
        row.value = value
        _sign(row, user, reason)
        row.save()
        _note("limit.changed", ("limit", f"{agent}:{key}"), user, reason, before, {"value": value})
        return row


def change_segment(
    agent: str,
    segment: str,
    user: User,
    *,
    reason: str,
    match: Mapping[str, Any] | None = None,
    rank: int | None = None,
    sample_percent: int | None = None,
) -> Phase:
    """Make a segment (which begins as `assist`), or change whom it takes in and how much of it a person sees.

    Taking in more customers, or showing people less, while the segment is automated puts it back to `assist`.
    """
    _may_change_rules(user, reason)
    if match is not None:
        _refuse_bad_match(match)
    if sample_percent is not None and not 0 <= sample_percent <= 100:
        raise Refused("bad_values", "The share is between 0 and 100 percent.")
    with transaction.atomic():
        row = _locked(agent, segment) or Phase(agent=agent, segment=segment, phase=Phase.ASSIST)
        before = _phase_values(row) if row.pk else {}
        widened = (match is not None and dict(match) != row.match) or (
            sample_percent is not None and sample_percent < row.sample_to_people_percent
        )
        row.match = dict(match) if match is not None else row.match
        row.rank = rank if rank is not None else row.rank
        row.sample_to_people_percent = sample_percent if sample_percent is not None else row.sample_to_people_percent
        if before and widened and row.phase == AUTOMATE:
            row.phase, row.requested_phase, row.requested_by = Phase.ASSIST, "", None
            _only_built_in(row)
        return _keep(row, "segment.changed", user, reason, before)


def request_phase(agent: str, segment: str, phase: str, user: User, *, reason: str) -> Phase:
    """Set a phase. `automate` only notes the wish: a second lead confirms it."""
    _may_change_rules(user, reason)
    if phase not in ORDER:
        raise Refused("no_such_phase", f"Choose one of: {', '.join(ORDER)}.")
    with transaction.atomic():
        row = _existing(agent, segment)
        before = _phase_values(row)
        if phase == AUTOMATE and row.phase != AUTOMATE:
            row.requested_phase, row.requested_by = AUTOMATE, user
            kind = "phase.requested"
        else:
            row.phase, row.requested_phase, row.requested_by = phase, "", None
            kind = "phase.changed"
            if phase != AUTOMATE:
                _only_built_in(row)
        return _keep(row, kind, user, reason, before)


def confirm_phase(agent: str, segment: str, user: User, *, reason: str) -> Phase:
    """The second lead's yes to `automate`. Never the one who asked for it, nor one who asks while no longer being a lead."""
    _may_change_rules(user, reason)
    with transaction.atomic():
        row = _existing(agent, segment)
        asked_by = _second_of(row.requested_by if row.requested_phase == AUTOMATE else None, user, "Nobody has asked for this phase.")
        before = _phase_values(row)
        row.phase, row.requested_phase, row.requested_by = AUTOMATE, "", None
        return _keep(row, "phase.changed", user, reason, before, asked_by=asked_by.pk)


def request_model_words(agent: str, segment: str, on: bool, user: User, *, reason: str) -> Phase:
    """Whether a model's words may go out by themselves in an automated segment. Yes only notes the wish; no counts at once."""
    _may_change_rules(user, reason)
    with transaction.atomic():
        row = _existing(agent, segment)
        before = _phase_values(row)
        if on and row.phase != AUTOMATE:
            raise Refused("not_automated", "Only in an automated segment does anything go out by itself.")
        if on and not row.model_words:
            row.model_words_requested_by = user
            kind = "model_words.requested"
        elif not on:
            _only_built_in(row)
            kind = "model_words.changed"
        else:
            raise Refused("on_already", "A model's words go out by themselves here already.")
        return _keep(row, kind, user, reason, before)


def confirm_model_words(agent: str, segment: str, user: User, *, reason: str) -> Phase:
    """The second lead's yes to a model's words. Never the one who asked for it, nor one who asks while no longer being a lead."""
    _may_change_rules(user, reason)
    with transaction.atomic():
        row = _existing(agent, segment)
        asked_by = _second_of(row.model_words_requested_by, user, "Nobody has asked for a model's words.")
        if row.phase != AUTOMATE:
            raise Refused("not_automated", "Only in an automated segment does anything go out by itself.")
        before = _phase_values(row)
        row.model_words, row.model_words_requested_by = True, None
        return _keep(row, "model_words.changed", user, reason, before, asked_by=asked_by.pk)


def _keep(row: Phase, kind: str, user: User, reason: str, before: Mapping[str, Any], **more: Any) -> Phase:
    """The changed segment, signed and in the ledger."""
    _sign(row, user, reason)
    row.save()
    _note(kind, ("phase", f"{row.agent}:{row.segment}"), user, reason, before, {**_phase_values(row), **more})
    return row


def _only_built_in(row: Phase) -> None:
    """Back to built-in texts: two leads agreed on a model's words for that segment while it was automated, and for nothing else."""
    row.model_words, row.model_words_requested_by = False, None


def _second_of(asked_by: User | None, user: User, nobody: str) -> User:
    """Who asked, when `user` may be the second lead to say yes."""
    if asked_by is None:
        raise Refused("nothing_requested", nobody)
    if asked_by.pk == user.pk:
        raise Refused("same_person", "You asked for it yourself; a second lead has to confirm.")
    if not asked_by.is_active or not asked_by.has_perm("approvals.change_rules"):
        raise Refused("requester_left", "The lead who asked for it is no lead any more. Ask anew.")
    return asked_by


def set_kill_switch(scope: str, on: bool, user: User, *, reason: str) -> KillSwitch:
    """Stop everything (`all`) or one agent before its next outside call, or let it go on again."""
    _may_change_rules(user, reason)
    with transaction.atomic():
        if on:
            switch_turn.turn_after_what_begins()
        row = KillSwitch.objects.select_for_update().filter(scope=scope).first() or KillSwitch(scope=scope)
        before = {"is_on": row.is_on}
        row.is_on = on
        _sign(row, user, reason)
        row.save()
        _note("kill_switch.on" if on else "kill_switch.off", ("kill_switch", scope), user, reason, before, {"is_on": on})
        return row


def _may_change_rules(user: User, reason: str) -> None:
    if not user.is_active or not user.has_perm("approvals.change_rules"):
        raise Refused("needs_lead", "Only a lead may change rules.")
    if not reason.strip():
        raise Refused("reason_needed", "Say why: the reason is kept with the change.")
    if len(reason) > LONGEST_REASON:
        raise Refused("reason_too_long", f"Keep the reason below {LONGEST_REASON} characters.")


def _refuse_bad_match(match: Mapping[str, Any]) -> None:
    for name, wanted in match.items():
        if name not in MATCH_KEYS:
            raise Refused("bad_values", f"A segment is told by {', '.join(MATCH_KEYS)}, not by {name}.")
        if name == "amount_max":
            if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
                raise Refused("bad_values", "The largest amount is a whole number of reference cents.")
        elif not isinstance(wanted, list) or not wanted or not all(isinstance(one, str) for one in wanted):
            raise Refused("bad_values", f"Name at least one {name}.")


def _locked(agent: str, segment: str) -> Phase | None:
    return Phase.objects.select_for_update(of=("self",)).filter(agent=agent, segment=segment).first()


def _existing(agent: str, segment: str) -> Phase:
    row = _locked(agent, segment)
    if row is None:
        raise Refused("no_such_segment", "There is no such segment.")
    return row


def _policy_values(row: Policy) -> dict[str, Any]:
    return {"params": row.params, "is_enabled": row.is_enabled, "effective_from": str(row.effective_from)}


def _phase_values(row: Phase) -> dict[str, Any]:
    return {
        "phase": row.phase,
        "requested_phase": row.requested_phase,
        "match": row.match,
        "rank": row.rank,
        "sample_percent": row.sample_to_people_percent,
        "model_words": row.model_words,
        "model_words_requested": row.model_words_requested_by_id is not None,
    }


def _sign(row: Policy | Limit | Phase | KillSwitch, user: User, reason: str) -> None:
    row.changed_by, row.changed_at, row.reason = user, clock.now(), reason.strip()
    _history_of(row, user, reason)


def _history_of(row: Model, user: User, reason: str) -> None:
    row._history_user = user  # type: ignore[attr-defined]  # simple-history reads it from the instance
    row._change_reason = reason.strip()[:500]  # type: ignore[attr-defined]


def _note(kind: str, subject: tuple[str, str], user: User, reason: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    ledger.append(
        kind,
        actor=person(user),
        trace_id=ids.new_trace_id(),
        subject=subject,
        data={"before": dict(before), "after": dict(after), "reason": reason.strip()[:300]},
    )
