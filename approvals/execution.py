"""The one door out: carries out what was approved, at most once, and never blindly again.

claim → second look → policy gate → freeze → commit `executing` with the key → call → record. A lost answer becomes `unknown`, which `settling.py`
looks up. No lock is ever held over an outside call.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from time import monotonic

from celery.exceptions import SoftTimeLimitExceeded
from django.db import transaction

from approvals import states, ways_out
from approvals.actions import ACTIONS
from approvals.actions.contract import Action, Done, Look, Part, Request
from approvals.aftermath import after_end
from approvals.contacts import note_contact
from approvals.contract import Check
from approvals.ledger_notes import note_proposal
from approvals.models import Execution, ExecutionAttempt, Proposal
from approvals.policy import gate, limits, retry_ledger, switch_turn
from audit import seal
from audit.actor import Actor, acting
from billing_ai.integrations.chargebee import budget, call
from billing_ai.integrations.site_state import CHARGEBEE
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Away, OutsideError, Retryable, Terminal, Unknown
from billing_ai.work import claims
from billing_ai.work.models import Leased

logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=3)
SETTLE_AFTER = timedelta(seconds=90)
"""Longer than the other side's longest processing time, so that an absence means something."""
ACTOR = Actor("system", "execution", "execution")


def execute_due(limit: int = 20) -> int:
    """Carry out up to `limit` effects that are due. Returns how many were looked at; 0 ends the caller's loop.

    What goes by a system that is away is not claimed: it keeps its place, its attempts, and the ledger free of tries.
    """
    if call.is_away():
        return 0
    away = ways_out.outages_of_others()
    rows = claims.claim(Execution, limit, LEASE, of=(lambda due: ways_out.able(due, away)) if away else None)
    met: dict[str, Away] = {}
    until = monotonic() + claims.BATCH_SECONDS
    for row in rows:
        execution = Execution.objects.select_related("proposal__case", "proposal__current").get(pk=row.pk)
        execution.attempt = row.attempt
        with acting(ACTOR, execution.trace_id), budget.at_least(budget.Lane.EXECUTION):
            system = next((one for one in met if ways_out.goes_by(execution, one)), "")
            if system or monotonic() > until:
                _put_off(execution, timedelta(0), met[system].sentence if system else claims.NEXT_TURN)
                continue
            try:
                error = carry_out(execution)
                if error is not None:
                    met[error.system] = error
                    ways_out.note_away(error)
                elif execution.status == Leased.DONE:
                    ways_out.note_there(execution, away)
            except SoftTimeLimitExceeded:
                raise
            except Exception as error:
                # Before the call, it may be tried again; once `executing`, put_back finds it so and leaves it to the sweep, which asks outside.
                logger.exception("execution.failed", extra={"execution_id": execution.pk})
                claims.put_back(execution, claims.backoff(execution.attempt), f"{type(error).__name__}; the log has the trace")
                _note_if_parked(execution)
    return 0 if CHARGEBEE in met else len(rows)


def carry_out(execution: Execution) -> Away | None:
    """One claimed effect, from the second look to the record. Never raises for what the outside world does.

    Returns the outage that it met, if it met one: that uses up no attempt.
    """
    proposal = execution.proposal
    revision = proposal.current
    if proposal.status != states.APPROVED or revision is None:
        _end(execution, Execution.WITHDRAWN, "the approval no longer stands")
        return None
    action = ACTIONS[execution.action]
    try:
        look = action.look_again(proposal, revision)
        checks = [
            *look.checks,
            *gate.judge(proposal, moment="execute", now=clock.now(), channel=revision.channel, origin=look.origin).checks,
        ]
        execution.last_look = _looked(checks)
        stopped = next((check for check in checks if check.outcome == "deny"), None)
        if stopped is not None:
            _withdraw(execution, stopped)
            return None
        wait = max(
            (check for check in checks if check.outcome == "wait" and check.not_before),
            key=lambda c: c.not_before or clock.now(),
            default=None,
        )
        if wait is not None:
            _wait(execution, wait)
            return None
        request = frozen_request(execution) or _freeze(execution, action, look)
    except Away as error:
        _put_off(execution, error.after, error.sentence)
        return error
    except Retryable as error:
        claims.put_back(execution, error.after, error.sentence)
        _note_if_parked(execution)
        return None
    except Unknown as error:
        # Nothing of ours was sent yet: only a read, or a page that nobody has been told of.
        claims.put_back(execution, timedelta(minutes=1), error.sentence)
        _note_if_parked(execution)
        return None
    except Terminal as error:
        _withdraw(execution, Check(error.code, "deny", error.sentence))
        return None
    if request is None:
        return None
    number = _begin(execution, request)
    return None if number is None else _call(execution, number, action, request)


def _freeze(execution: Execution, action: Action, look: Look) -> Request | None:
    """The exact request. None when the switch was turned since the gate looked, or the lease was lost: then nothing is called for it.

    Where pages at the payment provider are made for it, those are calls too: they begin as `_begin` does, and are marked while they run.
    """
    proposal, revision = execution.proposal, execution.proposal.current
    if revision is None:
        return None
    if not action.calls_to_freeze:
        return action.freeze(proposal, revision, look, execution.idempotency_key)
    ours = Execution.objects.filter(pk=execution.pk, attempt=execution.attempt, status=Leased.LEASED)
    with transaction.atomic():
        switch_turn.begin_before_a_turn()
        stopped = gate.kill_switch(proposal.agent, clock.now())
        is_ours = stopped.outcome == "allow" and ours.update(settle_after=clock.now())
    if stopped.outcome != "allow":
        execution.last_look = _looked([stopped], execution.last_look)
        _wait(execution, stopped)
    if not is_ours:
        return None
    try:
        return action.freeze(proposal, revision, look, execution.idempotency_key)
    finally:
        ours.update(settle_after=None)


def _call(execution: Execution, number: int, action: Action, request: Request) -> Away | None:
    try:
        done = action.act(request, key=execution.idempotency_key)
    except Away as error:
        _record(execution, number, "away", error=error, again_after=error.after)
        return error
    except Retryable as error:
        _record(execution, number, "retry", error=error, again_after=error.after)
    except Terminal as error:
        _record(execution, number, Execution.DECLINED if error.declined else Execution.FAILED, error=error)
    except Unknown as error:
        _record(execution, number, Execution.UNKNOWN, error=error)
    else:
        if isinstance(done, Part):
            _record(execution, number, "part", said=done.sentence, again_after=done.after)
        else:
            _record(execution, number, Leased.DONE, done=done)
    return None


def _begin(execution: Execution, request: Request) -> int | None:
    """Commit `executing`, the attempt and the frozen request, before the call; the attempt's number. None when something stopped it."""
    with transaction.atomic():
        _, proposal = states.lock_proposal(execution.proposal_id)
        held = Execution.objects.select_for_update().get(pk=execution.pk)
        if held.status != Leased.LEASED or held.attempt != execution.attempt or proposal.status != states.APPROVED:
            return None
        held.proposal = proposal
        switch_turn.begin_before_a_turn()
        stopped = gate.take(held, now=clock.now()) if held.first_sent_at is None else gate.kill_switch(proposal.agent, clock.now())
        held.last_look = execution.last_look if stopped is None else _looked([stopped], execution.last_look)
        if stopped is not None and stopped.outcome == "wait":
            _wait(held, stopped)
            return None
        if stopped is not None and stopped.outcome == "deny":
            _stop_locked(held, proposal, stopped)
            return None
        if held.action == "collect_payment" and held.first_sent_at is None:
            slot = retry_ledger.reserve(held)
            if isinstance(slot, Check):
                held.last_look = _looked([slot], execution.last_look)
                limits.give_back(held)
                if slot.outcome == "wait":  # taken by another charge since the gate looked
                    _wait(held, slot)
                else:
                    _stop_locked(held, proposal, slot)
                return None
        now = clock.now()
        held.status, held.first_sent_at = Execution.EXECUTING, held.first_sent_at or now
        held.lease_until, held.settle_after = now + LEASE, now + LEASE
        held.request = dict(request.values)
        held.to_mark = str(request.values.get("to_mark", ""))
        if request.sealed is not None and held.sealed_request is None:
            held.sealed_request = seal.seal(proposal.chargebee_customer_id, json.dumps(dict(request.sealed), ensure_ascii=False))
        held.save()
        number = held.attempts.count() + 1
        ExecutionAttempt.objects.create(execution=held, number=number, started_at=now)
        states.move(
            proposal,
            states.EXECUTING,
            ACTOR,
            kind="execution.started",
            data={"attempt": number, "key": held.idempotency_key, **_for_ledger(held.request)},
        )
    execution.status, execution.first_sent_at, execution.request = held.status, held.first_sent_at, held.request
    return number


def _record(
    execution: Execution,
    number: int,
    outcome: str,
    *,
    done: Done | None = None,
    error: OutsideError | None = None,
    said: str = "",
    again_after: timedelta | None = None,
) -> None:
    """Write down what came back of attempt `number`, if the effect is still ours."""
    with transaction.atomic():
        case, proposal = states.lock_proposal(execution.proposal_id)
        held = Execution.objects.select_for_update().get(pk=execution.pk)
        if held.status != Execution.EXECUTING or held.attempt != execution.attempt:
            logger.warning("execution.answer_after_lease", extra={"execution_id": held.pk, "outcome": outcome})
            if done is None or held.status not in (Execution.EXECUTING, Execution.UNKNOWN, Execution.PERSON):
                return  # a sweep has made it `unknown` meanwhile: only a yes is news to it, unless it was settled or queued again since
        now = clock.now()
        attempt = held.attempts.get(number=number)  # a late answer belongs to its own call, whatever was called since
        attempt.finished_at, attempt.outcome = now, outcome
        attempt.code, attempt.sentence = (error.code, error.sentence) if error else ("", said)
        attempt.response = {"reference": done.reference, **done.data} if done else {}
        attempt.save()
        if outcome in ("retry", "away", "part"):
            _again(
                held,
                proposal,
                outcome,
                error.sentence if error else said,
                now + (timedelta(minutes=1) if again_after is None else again_after),
            )
            return
        if outcome == Execution.UNKNOWN:
            held.status, held.settle_after, held.lease_until = Execution.UNKNOWN, now + SETTLE_AFTER, None
            held.reason = error.sentence if error else "no answer"
            held.save()
            states.move(proposal, states.UNKNOWN, ACTOR, kind="execution.unknown", reason=held.reason)
            return
        finish(held, proposal, outcome, done=done, reason=error.sentence if error else "", settled_by="answer")
        after_end(case, proposal, held)
        execution.status = outcome


def _again(held: Execution, proposal: Proposal, outcome: str, said: str, not_before: datetime) -> None:
    """Nothing happened, or a part of it: the same request goes out again. Only a call that failed by itself has used up an attempt."""
    held.status, held.not_before, held.lease_until, held.reason = Leased.WAITING, not_before, None, said
    if outcome != "retry":
        held.max_attempts += 1
    given_up = f"given up after {held.attempt} attempts" if held.attempt >= held.max_attempts else ""
    if outcome == "away" and clock.now() - _could_go_since(held) > claims.WAITS_AT_MOST:
        given_up = f"not done within {claims.WAITS_AT_MOST.days} days"
    if given_up:
        held.status, held.reason = Leased.PARKED, f"{given_up}: {said}"
    held.save()
    states.move(proposal, states.APPROVED, ACTOR, kind="execution.part" if outcome == "part" else "execution.put_back", reason=said)
    if given_up:
        note_proposal("execution.parked", proposal, ACTOR, {"why": held.reason[:300]})


def finish(held: Execution, proposal: Proposal, outcome: str, *, done: Done | None, reason: str, settled_by: str) -> None:
    """How an effect ends, in the caller's transaction, with case and proposal locked."""
    held.status, held.finished_at, held.lease_until, held.reason, held.settled_by = outcome, clock.now(), None, reason, settled_by
    if done is not None:
        held.result = {"reference": done.reference, **done.data}
    held.save()
    to = {Leased.DONE: states.DONE, Execution.DECLINED: states.DECLINED}.get(outcome, states.FAILED)
    states.move(
        proposal,
        to,
        ACTOR,
        kind=f"execution.{to}",
        reason=reason,
        data={"settled_by": settled_by, **({"reference": done.reference} if done else {})},
    )
    if to == states.DONE:
        note_contact(held, proposal)
    gate.settle_takings(held, happened=outcome != Execution.FAILED)


def frozen_request(execution: Execution) -> Request | None:
    """The request as it was first sent: the same body goes out under the same key. None when there is none, or it can no longer be read."""
    if not execution.request:
        return None
    if execution.sealed_request is None:
        return Request(execution.request)
    try:
        text = seal.unseal(execution.proposal.chargebee_customer_id, bytes(execution.sealed_request))
    except seal.Erased:
        return None
    return Request(execution.request, json.loads(text))


def _withdraw(execution: Execution, check: Check) -> None:
    with transaction.atomic():
        case, proposal = states.lock_proposal(execution.proposal_id)
        held = Execution.objects.select_for_update().get(pk=execution.pk)
        if held.attempt == execution.attempt and held.status == Leased.LEASED and proposal.status == states.APPROVED:
            held.last_look = execution.last_look
            _stop_locked(held, proposal, check)
            after_end(case, proposal, held)


def _stop_locked(held: Execution, proposal: Proposal, check: Check) -> None:
    held.status, held.reason, held.lease_until, held.finished_at = Execution.WITHDRAWN, f"{check.rule}: {check.sentence}", None, clock.now()
    held.save()
    states.move(proposal, states.WITHDRAWN, ACTOR, reason=check.sentence, kind="execution.withdrawn", data={"rule": check.rule})


def _wait(execution: Execution, check: Check) -> None:
    """Waiting for a permitted hour uses up no attempt."""
    Execution.objects.filter(pk=execution.pk, attempt=execution.attempt, status=Leased.LEASED).update(
        status=Leased.WAITING,
        lease_until=None,
        not_before=check.not_before,
        max_attempts=execution.max_attempts + 1,
        last_look=execution.last_look,
        reason=f"{check.rule}: {check.sentence}",
    )


def _put_off(execution: Execution, after: timedelta, sentence: str) -> None:
    claims.put_off(execution, after, sentence, since=_could_go_since(execution))
    _note_if_parked(execution)


def _could_go_since(execution: Execution) -> datetime:
    """When it was approved, or was planned for."""
    proposal = execution.proposal
    return max(moment for moment in (proposal.created_at, proposal.decided_at, proposal.not_before) if moment is not None)


def _looked(checks: Iterable[Check], before: dict[str, object] | None = None) -> dict[str, object]:
    """The checks as they are kept, after those of `before`. What the verifier found in a text may quote it, so only its name is kept."""
    earlier = before["checks"] if before else []
    kept = [
        check.as_json() | ({"sentence": "The text may not be sent.", "data": {}} if check.rule.startswith("draft.") else {})
        for check in checks
    ]
    return {"at": clock.now().isoformat(), "checks": [*(earlier if isinstance(earlier, list) else []), *kept]}


def _end(execution: Execution, status: str, reason: str) -> None:
    claims.complete(execution, status, reason, finished_at=clock.now())


def _note_if_parked(execution: Execution) -> None:
    if execution.status == Leased.PARKED:
        with transaction.atomic():
            _, proposal = states.lock_proposal(execution.proposal_id)
            note_proposal("execution.parked", proposal, ACTOR, {"why": execution.reason[:300]})


def _for_ledger(request: dict[str, object]) -> dict[str, object]:
    """The request without free text, which has its own place."""
    return {name: value for name, value in request.items() if name not in ("notes", "comment")}
