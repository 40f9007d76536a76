"""What people do with a proposal. Each call locks case → proposal, checks, moves one step and writes it to the ledger, in one transaction.

Each raises `Refused` with a sentence, and then nothing has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from approvals import states
from approvals.case_facts import planned_retry
from approvals.companions import hold_native_dunning
from approvals.contacts import note_contact
from approvals.contract import Words
from approvals.effects import make_ready, park_effect
from approvals.ledger_notes import note_proposal
from approvals.models import Decision, Execution, Proposal, Revision
from approvals.people import Refused, Role, is_for_a_lead, role_of
from approvals.policy import gate
from approvals.revisions import new_revision, origin_of, read_words, readable_words, sealed_draft_findings
from approvals.signals import redraft_wanted
from audit.actor import person
from billing_ai.facts.queries import facts_hash as facts_hash_of
from billing_ai.kernel import clock
from billing_ai.work.models import Leased
from billing_ai.work.wake import wake

if TYPE_CHECKING:
    from django.contrib.auth.models import User

REJECT_REASONS: dict[str, str] = {
    "wrong_tone": "The tone does not fit this customer",
    "wrong_facts": "Something in it is not right",
    "wrong_time": "Not now",
    "wrong_channel": "Another channel would be better",
    "known_issue": "There is a known problem on our side",
    "customer_spoke": "I have spoken with the customer",
    "not_worth_it": "Not worth pursuing",
    "other": "Another reason (see the note)",
}


def approve(
    proposal_id: UUID,
    user: User,
    *,
    content_hash: str,
    facts_hash: str,
    note: str = "",
    began: datetime | None = None,
    behind: timedelta = timedelta(0),
) -> Proposal:
    """Approve exactly what was seen: the revision and the facts whose hashes the page showed.

    A release of many gives when it `began` and how far this one goes out `behind` the first.
    """
    role = role_of(user)
    with transaction.atomic():
        case, proposal = states.lock_proposal(proposal_id)
        if proposal.status not in states.FOR_PEOPLE:
            raise Refused(
                "already_decided",
                f"Nothing was approved: this was {states.words(proposal.status)} meanwhile. {proposal.status_reason}".strip(),
            )
        if proposal.expires_at <= clock.now():
            raise Refused(
                "expired", "Nothing was approved: the proposal has expired. A new one is drafted when the case is looked at again."
            )
        revision = _current(proposal)
        if revision.content_hash != content_hash:
            raise Refused("stale_revision", "Nothing was approved: someone has edited this since you opened it. Read the new text first.")
        if facts_hash_of(proposal.chargebee_invoice_id, proposal.chargebee_customer_id) != facts_hash:
            raise Refused(
                "stale_facts", "Nothing was approved: the invoice or the customer has changed since you opened this page. Look again."
            )
        _refuse_open_findings(revision)
        words = readable_words(revision)
        _refuse_lost_retry(proposal, words)
        verdict = gate.judge(proposal, moment="approve", now=clock.now(), approver=user, origin=origin_of(revision, words))
        proposal.verdict = {"checks": [check.as_json() for check in verdict.checks]}
        proposal.role_needed, proposal.approvals_needed = verdict.role_needed, verdict.approvals_needed
        if verdict.blocking:
            raise Refused(verdict.blocking[0].rule, f"Nothing was approved: {verdict.blocking[0].sentence}")
        earlier = list(proposal.decisions.filter(kind="approve", revision=revision).values_list("by_id", "role"))
        if any(by == user.pk for by, _ in earlier):
            raise Refused("same_person", "You have approved this already; a second person has to.")
        several = verdict.approvals_needed
        if is_for_a_lead(role, role_needed=verdict.role_needed, approvals_needed=several, is_approved_once=bool(earlier)):
            if several > 1:
                raise Refused("needs_lead", "The second approval has to come from a lead.")
            raise Refused("over_limit", "This amount is above your limit. Escalate the case to a lead.")
        _decide(proposal, revision, "approve", user, role, facts_hash=facts_hash, note=note)
        seen = {"revision": revision.number, "content_hash": content_hash, "facts_hash": facts_hash, "role": role}
        if len(earlier) + 1 < verdict.approvals_needed:
            states.move(
                proposal,
                states.SECOND,
                person(user),
                user=user,
                kind="proposal.approved_first",
                data=seen,
                reason="waits for a second person",
            )
            return proposal
        states.move(proposal, states.APPROVED, person(user), user=user, data=seen)
        make_ready(
            proposal, delay=timedelta(seconds=settings.SEND_DELAY_SECONDS), not_before_check=verdict.not_before, began=began, behind=behind
        )
        if proposal.action == "collect_payment":
            hold_native_dunning(case, proposal, person(user), user)
        if case.owner_id is None:
            case.owner = user
            case.save(update_fields=["owner"])
        return proposal


def edit(
    proposal_id: UUID,
    user: User,
    *,
    base_revision_id: int,
    subject: str | None = None,
    body: str | None = None,
    payload: Mapping[str, Any] | None = None,
) -> Revision:
    """Make a new revision on top of `base_revision_id`; earlier approvals do not count for it. Nobody's edit is ever overwritten."""
    role = role_of(user)
    base = Revision.objects.select_related("proposal").filter(pk=base_revision_id, proposal_id=proposal_id).first()
    if base is None:
        raise Refused("no_such_revision", "The text that you edited does not exist.")
    old = read_words(base)
    words = None
    if old is not None:
        words = Words(old.channel, old.language, old.tone, old.subject if subject is None else subject, old.body if body is None else body)
    # Reads the customer's name live, so before the transaction.
    findings = sealed_draft_findings(base.proposal, words) if words is not None else []
    with transaction.atomic():
        _, proposal = states.lock_proposal(proposal_id)
        if proposal.status not in states.FOR_PEOPLE:
            raise Refused("already_decided", f"Your edit was not kept: this was {states.words(proposal.status)} meanwhile.")
        if proposal.current_id != base_revision_id:
            raise Refused(
                "stale_revision",
                "Your edit was not kept: someone else has edited this text meanwhile. Yours is still on your screen; compare both.",
            )
        revision = new_revision(proposal, {**base.payload, **(payload or {})}, words, author=user, findings=findings)
        _decide(proposal, revision, "edit", user, role, facts_hash=proposal.facts_hash)
        states.move(
            proposal,
            states.WAITING,
            person(user),
            user=user,
            kind="proposal.edited",
            data={"revision": revision.number, "content_hash": revision.content_hash, "findings": [f["rule"] for f in findings]},
        )
        return revision


def reject(proposal_id: UUID, user: User, *, reason_code: str, note: str = "", instruction: str = "") -> Proposal:
    """Say no, with a reason; an instruction has the agent draft again."""
    role = role_of(user)
    if reason_code not in REJECT_REASONS:
        raise Refused("unknown_reason", f"Choose one of: {', '.join(REJECT_REASONS)}.")
    with transaction.atomic():
        _, proposal = states.lock_proposal(proposal_id)
        _decide(proposal, _current(proposal), "reject", user, role, facts_hash=proposal.facts_hash, reason_code=reason_code, note=note)
        states.move(
            proposal, states.REJECTED, person(user), user=user, reason=REJECT_REASONS[reason_code], data={"reason_code": reason_code}
        )
        if instruction.strip():
            redraft_wanted.send(sender=Proposal, proposal=proposal, instruction=instruction.strip()[:500], user=user)
        return proposal


def undo(proposal_id: UUID, user: User) -> Proposal:
    """Take an approval back while nothing has been sent yet."""
    role_of(user)
    with transaction.atomic():
        _, proposal = states.lock_proposal(proposal_id)
        execution = Execution.objects.select_for_update().filter(proposal=proposal).first()
        if (
            proposal.status != states.APPROVED
            or execution is None
            or execution.status != Leased.WAITING
            or execution.first_sent_at is not None
        ):
            raise Refused("too_late", f"It is too late to undo: {states.words_of_late(proposal.status)}.")
        park_effect(execution, "undone")
        proposal.decisions.filter(kind="approve", revision=proposal.current).update(kind="undone")
        states.move(proposal, states.WAITING, person(user), user=user, kind="proposal.undone")
        return proposal


def settle_unknown(proposal_id: UUID, user: User, *, happened: bool, note: str) -> Proposal:
    """A person says what became of a call whose answer was lost, after looking in the other system."""
    role = role_of(user)
    if not note.strip():
        raise Refused("note_needed", "Say where you looked and what you saw.")
    with transaction.atomic():
        _, proposal = states.lock_proposal(proposal_id)
        execution = Execution.objects.select_for_update().filter(proposal=proposal).first()
        if proposal.status != states.UNKNOWN or execution is None:
            raise Refused("already_decided", f"This was {states.words(proposal.status)} meanwhile.")
        execution.status = Leased.DONE if happened else Execution.FAILED
        execution.settled_by, execution.finished_at, execution.reason = f"person:{user.pk}", clock.now(), note
        execution.save()
        gate.settle_takings(execution, happened=happened)
        if happened:
            note_contact(execution, proposal)
        _decide(proposal, _current(proposal), "settle", user, role, facts_hash=proposal.facts_hash, note=note)
        states.move(
            proposal,
            states.DONE if happened else states.FAILED,
            person(user),
            user=user,
            # The note itself may name the customer, and the ledger keeps for ever what it is given.
            reason="a person looked: it happened" if happened else "a person looked: it did not happen",
            kind="proposal.settled_by_person",
        )
        return proposal


def _current(proposal: Proposal) -> Revision:
    if proposal.current is None:
        raise Refused("no_revision", "This proposal has no text or values to decide on.")
    return proposal.current


def _refuse_open_findings(revision: Revision) -> None:
    blocking = [finding for finding in revision.findings if finding.get("severity") == "block"]
    if blocking:
        raise Refused(
            "draft_not_allowed",
            f"The text may not be sent: {blocking[0]['rule'].replace('_', ' ')} ({blocking[0]['expected']}). Edit it first.",
        )


def _refuse_lost_retry(proposal: Proposal, words: Words | None) -> None:
    """A text that announces a charge may not be approved when none is planned any more; sending would stop it, but only after the fact."""
    if words is not None and "retry.date" in f"{words.subject} {words.body}" and planned_retry(proposal) is None:
        raise Refused(
            "retry_gone",
            "Nothing was approved: the text names the day of the next charge, and none is planned any more. Edit it, or ask for a new draft.",
        )


def _decide(
    proposal: Proposal, revision: Revision, kind: str, user: User, role: Role, *, facts_hash: str, reason_code: str = "", note: str = ""
) -> Decision:
    return Decision.objects.create(
        proposal=proposal,
        revision=revision,
        kind=kind,
        by=user,
        role=role,
        reason_code=reason_code,
        note=note,
        content_hash=revision.content_hash,
        facts_hash=facts_hash,
        checks=proposal.verdict.get("checks") if kind in ("approve", "reject") else None,
    )


def replay_parked(execution_id: int, user: User, note: str) -> Execution:
    """Let a parked effect try again: what stopped it has been mended."""
    return _unpark(execution_id, user, note, drop=False)


def drop_parked(execution_id: int, user: User, note: str) -> Execution:
    """Give a parked effect up, with a reason."""
    return _unpark(execution_id, user, note, drop=True)


def _unpark(execution_id: int, user: User, note: str, *, drop: bool) -> Execution:
    role_of(user)
    if not note.strip():
        raise Refused("note_needed", "Say why.")
    proposal_id = Execution.objects.filter(pk=execution_id).values_list("proposal_id", flat=True).first()
    if proposal_id is None:
        raise Refused("no_such_execution", "This execution does not exist.")
    with transaction.atomic():
        _, proposal = states.lock_proposal(proposal_id)
        execution = Execution.objects.select_for_update().get(pk=execution_id)
        if execution.status != Leased.PARKED:
            raise Refused("not_parked", f"It is not parked; it is {execution.status}.")
        if drop:
            park_effect(execution, note)
            states.move(proposal, states.WITHDRAWN, person(user), user=user, reason="given up by a person", kind="execution.dropped")
        else:
            execution.status, execution.not_before, execution.max_attempts = Leased.WAITING, clock.now(), execution.attempt + 8
            execution.reason = note
            execution.save()
            note_proposal("execution.replayed", proposal, person(user))
            wake("approvals.execute_due")
        return execution
