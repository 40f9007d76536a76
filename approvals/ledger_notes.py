"""How the approvals room writes to the audit ledger: the same columns every time, in the transition's own transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from approvals.models import Case, Proposal
from audit import ledger
from audit.actor import Actor
from audit.ledger import NewEntry

logger = logging.getLogger(__name__)


def note_case(kind: str, case: Case, actor: Actor, data: Mapping[str, Any] | None = None) -> None:
    """Append what happened to a case."""
    ledger.append_entry(of_case(kind, case, actor, data))


def note_proposal(kind: str, proposal: Proposal, actor: Actor, data: Mapping[str, Any] | None = None) -> None:
    """Append what happened to a proposal, with the event, prompt and model behind it."""
    ledger.append_entry(of_proposal(kind, proposal, actor, data))


def of_case(kind: str, case: Case, actor: Actor, data: Mapping[str, Any] | None = None) -> NewEntry:
    """The entry about a case, for a caller that writes it together with the rows it tells of."""
    logger.info(kind, extra={"trace_id": case.trace_id, "case_id": str(case.pk), "invoice_id": case.chargebee_invoice_id})
    return NewEntry(
        kind=kind,
        actor=actor,
        trace_id=case.trace_id,
        subject=("case", str(case.pk)),
        case_id=case.pk,
        customer_id=case.chargebee_customer_id,
        invoice_id=case.chargebee_invoice_id,
        agent=case.agent,
        data=data or {},
    )


def of_proposal(kind: str, proposal: Proposal, actor: Actor, data: Mapping[str, Any] | None = None) -> NewEntry:
    """The entry about a proposal, as `of_case`."""
    names = {"proposal_id": str(proposal.pk), "action": proposal.action, "invoice_id": proposal.chargebee_invoice_id}
    logger.info(kind, extra={"trace_id": proposal.trace_id, **names})
    return NewEntry(
        kind=kind,
        actor=actor,
        trace_id=proposal.trace_id,
        subject=("proposal", str(proposal.pk)),
        case_id=proposal.case_id,
        event_id=proposal.chargebee_event_id,
        customer_id=proposal.chargebee_customer_id,
        invoice_id=proposal.chargebee_invoice_id,
        agent=proposal.agent,
        prompt_hash=proposal.prompt_hash,
        model=proposal.model,
        data={"action": proposal.action, "step": proposal.step, **(data or {})},
    )
