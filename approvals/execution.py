"""The one door out: carries out what was approved, at most once, and never blindly again.

claim → second look → policy gate → freeze → commit `executing` with the key → call → record. A lost answer becomes `unknown`, and `settle`
asks the other system; what cannot be settled there waits for a person. No lock is ever held over an outside call.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from celery.exceptions import SoftTimeLimitExceeded
from django.db import transaction

from approvals import states
from approvals.actions import ACTIONS
from approvals.actions.contract import Absent, Action, CannotTell, Done, Look, Part, Request, StillGoing
from approvals.aftermath import after_end
from approvals.contacts import note_contact
from approvals.contract import Check
from approvals.ledger_notes import note_proposal
from approvals.models import Execution, ExecutionAttempt, Proposal
from approvals.policy import gate, limits, retry_ledger, switch_turn
from audit import seal
from audit.actor import Actor, acting
from billing_ai.integrations.chargebee import budget
from billing_ai.kernel import clock
from billing_ai.kernel.errors import OutsideError, Retryable, Terminal, Unknown
from billing_ai.work import claims
from billing_ai.work.models import Leased

logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=3)
SETTLE_AFTER = timedelta(seconds=90)
"""Longer than the other side's longest processing time, so that an absence means something."""
ACTOR = Actor("system", "execution", "execution")


def execute_due(limit: int = 20) -> int:
    """Carry out up to `limit` effects that are due. Returns how many were looked at."""
    rows = claims.claim(Execution, limit, LEASE)
    for row in rows:
        execution = Execution.objects.select_related("proposal__case", "proposal__current").get(pk=row.pk)
        execution.attempt = row.attempt
        with acting(ACTOR, execution.trace_id), budget.at_least(budget.Lane.EXECUTION):
            try:
                carry_out(execution)
            except SoftTimeLimitExceeded:
                raise
            except Exception as error:
                # Before the call, it may be tried again; once `executing`, put_back finds it so and leaves it to the sweep, which asks outside.
                logger.exception("execution.failed", extra={"execution_id": execution.pk})
                claims.put_back(execution, claims.backoff(execution.attempt), f"{type(error).__name__}; the log has the trace")
                _note_if_parked(execution)
    return len(rows)


def carry_out(execution: Execution) -> None:
    """One claimed effect, from the second look to the record. Never raises for what the outside world does."""
    proposal = execution.proposal
    revision = proposal.current
    if proposal.status != states.APPROVED or revision is None:
        _end(execution, Execution.WITHDRAWN, "the approval no longer stands")
        return
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
            return
        wait = max(
            (check for check in checks if check.outcome == "wait" and check.not_before),
            key=lambda c: c.not_before or clock.now(),
            default=None,
        )
        if wait is not None:
            _wait(execution, wait)
            return
        request = _frozen(execution) or _freeze(execution, action, look)
    except Retryable as error:
        claims.put_back(execution, error.after, error.sentence)
        _note_if_parked(execution)
        return
    except Unknown as error:
        # Nothing of ours was sent yet: only a read, or a page that nobody has been told of.
        claims.put_back(execution, timedelta(minutes=1), error.sentence)
        _note_if_parked(execution)
        return
    except Terminal as error:
        _withdraw(execution, Check(error.code, "deny", error.sentence))
        return
    number = _begin(execution, request) if request is not None else None
    if number is not None and request is not None:
        _call(execution, number, action, request)


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


def _call(execution: Execution, number: int, action: Action, request: Request) -> None:
    try:
        done = action.act(request, key=execution.idempotency_key)
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
        if outcome == "retry":
            held.status, held.not_before, held.lease_until = Leased.WAITING, now + (again_after or timedelta(minutes=1)), None
            held.reason = error.sentence if error else ""
            held.save()
            states.move(proposal, states.APPROVED, ACTOR, kind="execution.put_back", reason=held.reason)
            return
        if outcome == Execution.UNKNOWN:
            held.status, held.settle_after, held.lease_until = Execution.UNKNOWN, now + SETTLE_AFTER, None
            held.reason = error.sentence if error else "no answer"
            held.save()
            states.move(proposal, states.UNKNOWN, ACTOR, kind="execution.unknown", reason=held.reason)
            return
        _finish(held, proposal, outcome, done=done, reason=error.sentence if error else "", settled_by="answer")
        after_end(case, proposal, held)


def _finish(held: Execution, proposal: Proposal, outcome: str, *, done: Done | None, reason: str, settled_by: str) -> None:
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
    if held.action == "collect_payment":
        retry_ledger.use(held, str(held.result.get("transaction_id", "")))
    if outcome == Execution.FAILED:
        limits.give_back(held)  # refused before anything happened


def expire_leases() -> int:
    """What was `executing` when its worker died: nobody knows whether it happened. Returns how many became `unknown`."""
    stale = Execution.objects.filter(status=Execution.EXECUTING, lease_until__lt=claims.db_now()).values_list("pk", "proposal_id")[:200]
    moved = 0
    for pk, proposal_id in list(stale):
        with transaction.atomic():
            _, proposal = states.lock_proposal(proposal_id)
            held = Execution.objects.select_for_update().get(pk=pk)
            if held.status != Execution.EXECUTING or held.lease_until is None or held.lease_until >= claims.db_now():
                continue
            held.attempts.filter(outcome="executing").update(outcome=Execution.UNKNOWN, sentence="the worker ended before the answer came")
            held.status, held.lease_until, held.settle_after = Execution.UNKNOWN, None, clock.now()
            held.reason = "The worker ended before the answer came."
            held.save()
            states.move(proposal, states.UNKNOWN, ACTOR, kind="execution.unknown", reason=held.reason)
            moved += 1
    return moved


def settle_unknowns(limit: int = 50) -> int:
    """Ask the other system about each effect whose answer was lost. Returns how many were settled."""
    settled = 0
    due = Execution.objects.filter(status=Execution.UNKNOWN, settle_after__lte=claims.db_now()).order_by("settle_after")[:limit]
    for execution in due.select_related("proposal__case"):
        with acting(ACTOR, execution.trace_id), budget.at_least(budget.Lane.EXECUTION):
            settled += _settle(execution)
    return settled


def _settle(execution: Execution) -> bool:
    action = ACTIONS[execution.action]
    request = _frozen(execution)
    last = execution.attempts.order_by("-number").first()
    since: datetime = last.started_at if last else execution.first_sent_at or clock.now()
    if request is None:
        return _to_person(execution, "The frozen request can no longer be read (the customer was erased), so it cannot be looked for.")
    try:
        found = action.look_up(execution, request, since=since)
    except (Retryable, Unknown) as error:
        Execution.objects.filter(pk=execution.pk, status=Execution.UNKNOWN).update(
            settle_after=clock.now() + timedelta(minutes=2), reason=error.sentence
        )
        return False
    except Terminal as error:
        return _to_person(execution, error.sentence)
    if isinstance(found, StillGoing):
        Execution.objects.filter(pk=execution.pk, status=Execution.UNKNOWN).update(settle_after=clock.now() + timedelta(minutes=2))
        return False
    if isinstance(found, CannotTell):
        return _to_person(execution, found.sentence)
    if isinstance(found, Absent) and not found.may_repeat:
        return _to_person(execution, "The other system has nothing of it, and it is too late to repeat it safely.")
    with transaction.atomic():
        case, proposal = states.lock_proposal(execution.proposal_id)
        held = Execution.objects.select_for_update().get(pk=execution.pk)
        if held.status != Execution.UNKNOWN:
            return False
        if isinstance(found, Absent):
            held.status, held.not_before, held.reason = Leased.WAITING, clock.now(), "not there: the same request again, under the same key"
            held.save()
            states.move(proposal, states.APPROVED, ACTOR, kind="execution.absent", reason=held.reason)
            return True
        outcome = Execution.DECLINED if found.data.get("declined") else Leased.DONE
        _finish(held, proposal, outcome, done=found, reason="", settled_by="look-up")
        after_end(case, proposal, held)
    return True


def _to_person(execution: Execution, sentence: str) -> bool:
    with transaction.atomic():
        case, proposal = states.lock_proposal(execution.proposal_id)
        held = Execution.objects.select_for_update().get(pk=execution.pk)
        if held.status != Execution.UNKNOWN:
            return False
        held.status, held.reason, held.settle_after = Execution.PERSON, sentence, None
        held.save()
        proposal.status_reason = sentence
        proposal.save()
        case.escalated_to_lead = True
        case.save()
        note_proposal("execution.needs_person", proposal, ACTOR, {"why": sentence[:300]})
    return True


def _frozen(execution: Execution) -> Request | None:
    """The request as it was first sent: the same body goes out under the same key."""
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
