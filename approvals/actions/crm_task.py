"""Put a task on the list of the customer's owner in the CRM."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from approvals import crm_fields
from approvals.actions.contract import Absent, Done, Look, Request, Settled, StillGoing
from approvals.actions.second_look import approved_facts_still_hold, look_at_customer, look_at_invoice
from approvals.models import Execution, Proposal, Revision
from billing_ai.integrations import ports, registry
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal
from billing_ai.signals.models import CrmLink
from billing_ai.signals.queries import crm_links

LONGEST_DUE_DAYS = 90
_NAMES = {"salesforce": "Salesforce", "hubspot": "HubSpot"}


@dataclass(frozen=True)
class OwnerTask:
    """A task that the owner sees and the customer does not. Payload: customer_id, subject, due_in_days, note. Found again by its key."""

    key: str
    label: str
    channel: str = ""
    """`call` when the owner is to ring the customer: then the rules of contact are asked."""
    moves_money: bool = False
    calls_to_freeze: bool = False

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """What approving does, in a sentence."""
        where, days = _NAMES.get(_system_of(proposal.chargebee_customer_id)[0], "the CRM"), _days(revision.payload)
        does = f"asks the owner to call the customer: “{_subject(revision.payload)}”" if self.channel else f"“{_subject(revision.payload)}”"
        when = "today" if days == 0 else f"in {days} day{'s' if days != 1 else ''}"
        return f"Puts a task on the owner's list in {where}, due {when}: {does}. The customer is not told."

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """The customer has to be there still, and the invoice open where the task is about one."""
        if proposal.chargebee_invoice_id:
            checks, _ = look_at_invoice(proposal)
            return Look(tuple(checks))
        return Look((*look_at_customer(proposal), *approved_facts_still_hold(proposal)))

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """The task as it will stand there: what was approved, and why it was proposed."""
        system, link = _system_of(proposal.chargebee_customer_id)
        if not system:
            raise Terminal("crm.not_set_up", "No CRM is set up, so the task cannot be put anywhere.")
        why = [f"- {reason['sentence']}" for reason in proposal.reasons[:8] if reason.get("sentence")]
        note = str(revision.payload.get("note", "")).strip()
        values: dict[str, Any] = {
            "customer_id": proposal.chargebee_customer_id,
            "system": system,
            "due_on": (clock.utc_date(clock.now()) + timedelta(days=_days(revision.payload))).isoformat(),
            "owner_id": link.owner if link is not None else "",
            "is_urgent": bool(revision.payload.get("is_urgent", False)),
        }
        body = "\n".join([*([note, ""] if note else []), *(["Why:", *why] if why else [])]).strip()
        return Request(values, sealed={"subject": _subject(revision.payload), "body": body})

    def act(self, request: Request, *, key: str) -> Done:
        """Create it."""
        sealed = dict(request.sealed or {})
        values = request.values
        task = ports.NewTask(
            customer_id=values["customer_id"],
            subject=sealed["subject"],
            body=sealed["body"],
            due_on=datetime.fromisoformat(values["due_on"]).date(),
            is_urgent=values["is_urgent"],
            owner_id=values["owner_id"],
            is_call=bool(self.channel),
        )
        receipt = registry.crm(values["system"]).create_task(task, key=key)
        return Done(receipt.reference, {"url": receipt.url, "system": values["system"]})

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        """Is there a task with our key?"""
        found = registry.crm(request.values["system"]).look_up(execution.idempotency_key)
        if isinstance(found, ports.Found):
            return Done(found.receipt.reference, {"url": found.receipt.url, "system": request.values["system"]})
        return StillGoing() if isinstance(found, ports.InProgress) else Absent(may_repeat=True)


def _system_of(customer_id: str) -> tuple[str, CrmLink | None]:
    """The CRM that told us of this customer, with what it told; else the first that is set up; empty when there is none."""
    systems = crm_fields.set_up()
    for link in crm_links([customer_id]).get(customer_id, ()):
        if link.system in systems:
            return link.system, link
    return (systems[0] if systems else ""), None


def _subject(payload: dict[str, Any]) -> str:
    subject = " ".join(str(payload.get("subject", "")).split())[:255]
    return subject or "Look at this customer"


def _days(payload: dict[str, Any]) -> int:
    days = payload.get("due_in_days", 3)
    return min(max(days, 0), LONGEST_DUE_DAYS) if isinstance(days, int) and not isinstance(days, bool) else 3


ACTION = OwnerTask("crm_task", "CRM task")
