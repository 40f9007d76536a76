"""What an evidence pack tells of a case: drafts and what people changed in them, findings, decisions, calls, outcomes, promises.

Words are unsealed for the pack; they read "erased" once the customer's key is gone and "kept no longer" once their time is over. Addresses and the text as it was sent stay sealed; the
pack holds the hash of that text, against which a copy that a customer shows can be held.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from approvals.models import Case, Decision, Execution, Outcome, Promise, Proposal, Revision
from approvals.retention import KEPT_NO_LONGER
from approvals.revisions import read_words
from audit import seal

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from approvals.contract import Words

ERASED = "erased"
_KEPT_OF_A_CALL = ("reference", "transaction_id", "status", "declined", "accepted_at")


def tell(case_id: UUID) -> Mapping[str, Any]:
    """The section of one case; empty when this floor knows no such case."""
    case = Case.objects.filter(pk=case_id).first()
    if case is None:
        return {}
    proposals = case.proposals.select_related("execution").prefetch_related(
        "revisions__author", "decisions__by", "decisions__revision", "execution__attempts"
    )
    gone = ERASED if seal.is_erased(case.chargebee_customer_id) else KEPT_NO_LONGER if case.words_dropped_at else ""
    return {
        "case": {
            "customer": case.chargebee_customer_id,
            "invoice": case.chargebee_invoice_id,
            "status": case.status,
            "opened_at": case.opened_at,
            "closed_at": case.closed_at,
            "words_dropped_at": case.words_dropped_at,
            "amount_due": _money(case.amount_due_minor, case.currency),
            "recovered": _money(case.recovered_minor, case.currency),
            "category": case.category,
            "likelihood_percent": case.likelihood_bp / 100,
            "reasons": [reason.get("sentence", "") for reason in case.reasons],
        },
        "proposals": [_proposal(proposal, gone) for proposal in proposals.order_by("created_at", "pk")],
        "promises": [_promise(promise) for promise in case.promises.select_related("taken_by").order_by("taken_at")],
        "outcomes": [_outcome(outcome) for outcome in case.outcomes.order_by("happened_at")],
    }


def _proposal(proposal: Proposal, gone: str) -> dict[str, Any]:
    execution = getattr(proposal, "execution", None)
    return {
        "id": proposal.pk,
        "action": proposal.action,
        "step": proposal.step,
        "status": proposal.status,
        "status_reason": _free_text(proposal.status_reason, gone),
        "proposed_at": proposal.created_at,
        "words_by": proposal.model,
        "prompt_hash": proposal.prompt_hash,
        "trace_id": proposal.trace_id,
        "reasons": [reason.get("sentence", "") for reason in proposal.reasons],
        "checks": _checks(proposal.verdict.get("checks", [])),
        "revisions": _revisions(proposal),
        "decisions": [_decision(one, gone) for one in sorted(proposal.decisions.all(), key=lambda one: (one.at, one.pk))],
        "execution": _execution(execution, gone) if execution is not None else None,
    }


def _revisions(proposal: Proposal) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    before: Words | None = None
    for revision in sorted(proposal.revisions.all(), key=lambda one: one.number):
        revision.proposal = proposal
        row: dict[str, Any] = {
            "number": revision.number,
            "by": _name(revision.author) or "the agent",
            "at": revision.created_at,
            "content_hash": revision.content_hash,
            "values": revision.payload,
            "findings": [{key: finding.get(key, "") for key in ("rule", "severity", "part", "expected")} for finding in revision.findings],
        }
        if revision.sealed_words is not None:
            words, row["words"] = _words(revision)
            if before is not None and words is not None:
                row["changes"] = {"subject": differences(before.subject, words.subject), "body": differences(before.body, words.body)}
            before = words
        told.append(row)
    return told


def _words(revision: Revision) -> tuple[Words | None, Any]:
    try:
        words = read_words(revision)
    except seal.KeptNoLonger:
        return None, KEPT_NO_LONGER
    except seal.Erased:
        return None, ERASED
    if words is None:
        return None, None
    return words, {"channel": words.channel, "language": words.language, "tone": words.tone, "subject": words.subject, "body": words.body}


def differences(before: str, after: str) -> list[dict[str, str]]:
    """What was changed, word by word: `{"removed": …, "added": …}` for each place, in order; nothing where the texts are the same."""
    old, new = (re.findall(r"\{\{.*?\}\}|\s+|[^\s{]+|\{", text, re.DOTALL) for text in (before, after))
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    return [
        {"removed": "".join(old[a_from:a_to]), "added": "".join(new[b_from:b_to])}
        for what, a_from, a_to, b_from, b_to in matcher.get_opcodes()
        if what != "equal"
    ]


def _decision(decision: Decision, gone: str) -> dict[str, Any]:
    return {
        "kind": decision.kind,
        "by": _name(decision.by) or decision.by_policy,
        "role": decision.role,
        "at": decision.at,
        "revision": decision.revision.number,
        "content_hash_seen": decision.content_hash,
        "facts_hash_seen": decision.facts_hash,
        "reason": decision.reason_code,
        "note": _free_text(decision.note, gone),
        "checks": "not kept" if decision.checks is None else _checks(decision.checks),
    }


def _checks(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each rule that was asked and what it said, allowed ones too: an outsider sees what was looked at, not only what was in the way."""
    return [{name: check.get(name) for name in ("rule", "outcome", "sentence")} for check in checks]


def _look(look: dict[str, Any] | None) -> dict[str, Any] | str:
    """The last look before the call, or before it was put off or withdrawn."""
    return {"at": look["at"], "checks": _checks(look["checks"])} if look else "not kept"


def _execution(execution: Execution, gone: str) -> dict[str, Any]:
    return {
        "status": execution.status,
        "idempotency_key": execution.idempotency_key,
        "request": execution.request,
        "sealed_part": (gone or "kept sealed") if execution.sealed_request is not None else "none",
        "first_sent_at": execution.first_sent_at,
        "finished_at": execution.finished_at,
        "settled_by": execution.settled_by,
        "reason": _free_text(execution.reason, gone),
        "last_look": _look(execution.last_look),
        "result": _redacted(execution.result),
        "attempts": [
            {
                "number": attempt.number,
                "started_at": attempt.started_at,
                "finished_at": attempt.finished_at,
                "outcome": attempt.outcome,
                "code": attempt.code,
                "sentence": attempt.sentence,
                "response": _redacted(attempt.response),
            }
            for attempt in sorted(execution.attempts.all(), key=lambda one: one.number)
        ],
    }


def _promise(promise: Promise) -> dict[str, Any]:
    return {
        "amount": _money(promise.amount_minor, promise.currency),
        "due_on": promise.due_on,
        "taken_by": _name(promise.taken_by),
        "taken_at": promise.taken_at,
        "status": promise.status,
        "kept": _money(promise.kept_minor, promise.currency),
        "settled_at": promise.settled_at,
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "kind": outcome.kind,
        "recovered": _money(outcome.recovered_minor, outcome.currency),
        "credited_to": outcome.credited_to,
        "proposal": outcome.proposal_id,
        "transaction": outcome.chargebee_transaction_id,
        "event": outcome.chargebee_event_id,
        "attempt": outcome.attempt_number,
        "happened_at": outcome.happened_at,
    }


def _redacted(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Of another system's answer, what is known to be an id, a state or a time."""
    return {key: value if key in _KEPT_OF_A_CALL else "withheld" for key, value in answer.items()}


def _free_text(text: str, gone: str) -> str:
    """A colleague's own words may name the customer, so they go with the customer's. `gone` says how those went; empty while they are there."""
    return gone if text and gone else text


def _money(minor: int, currency: str) -> dict[str, Any]:
    return {"minor": minor, "currency": currency}


def _name(user: User | None) -> str:
    return user.get_username() if user is not None else ""
