"""Scores of many customers into the CRM: one proposal a night, carried out batch by batch.

The rows were staged when the push was proposed (`approvals/crm_pushes.py` says why) and the approval holds their hash. Each batch is marked
before its call and settled after it, so that a worker that dies, or a lost answer, leaves one batch in doubt: `look_up` reads those
customers back, and only what is not there is sent again, under that batch's own key.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from approvals import crm_fields, crm_pushes
from approvals.actions.contract import Absent, Done, Look, Part, Request, Settled
from approvals.actions.second_look import approved_facts_still_hold
from approvals.contract import Check
from approvals.models import CrmBatch, Execution, Proposal, Revision
from billing_ai.facts.models import Customer
from billing_ai.integrations import registry
from billing_ai.integrations.ports import BatchReceipt, CustomerScore
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Retryable

SLICE_SECONDS = 45.0
"""After so long the rest waits for another turn: well inside the lease, and other effects are not held up."""
STALE_AFTER = timedelta(days=3)
_NAMES = {"salesforce": "Salesforce", "hubspot": "HubSpot"}


@dataclass(frozen=True)
class CrmPush:
    """Payload: push, count, sample, as_of, content_hash and the fields as they were mapped then."""

    key: str = "crm_push"
    label: str = "Scores into the CRM"
    moves_money: bool = False
    channel: str = ""
    calls_to_freeze: bool = False

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """What approving does, in a sentence."""
        payload = revision.payload
        where = " and ".join(_NAMES.get(system, system) for system in payload.get("fields", {})) or "no CRM"
        return (
            f"Sets the scores of {int(payload.get('count', 0)):,} customers in {where}, as of {str(payload.get('as_of', ''))[:16]}. "
            "Setting the same again changes nothing."
        )

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """The same rows, into the same fields, and not yet old."""
        payload = revision.payload
        checks = list(approved_facts_still_hold(proposal))
        if crm_pushes.hash_of(str(payload["push"])) != payload["content_hash"]:
            checks.append(Check("look.rows_changed", "deny", "The rows are not those that were approved."))
        if crm_fields.mapping() != payload["fields"]:
            checks.append(
                Check(
                    "look.fields_changed", "deny", "What goes into which field of the CRM was changed since. The next night's push has it."
                )
            )
        if clock.now() - datetime.fromisoformat(payload["as_of"]) > STALE_AFTER:
            checks.append(Check("look.stale_scores", "deny", "These scores are older than three days; newer ones are there."))
        return Look(tuple(checks) or (Check("look.rows", "allow", "The rows and the fields are those that were approved."),))

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """Which rows, into which fields."""
        return Request({name: revision.payload[name] for name in ("push", "count", "as_of", "content_hash", "fields")})

    def act(self, request: Request, *, key: str) -> Done | Part:
        """Send what is left, until done or for one slice. Raises what the CRM's adapter raises; what was taken until then stays noted."""
        push, fields = str(request.values["push"]), request.values["fields"]
        until = time.monotonic() + SLICE_SECONDS
        sent_any = False
        for batch in crm_pushes.batches(push):
            for system in fields:
                if system in batch.sent:
                    continue
                if time.monotonic() >= until and sent_any:
                    return Part(_so_far(push))
                try:
                    receipt = _send(batch, system, fields[system], f"{key}:{batch.number}")
                except Retryable as error:
                    _unmark(batch)
                    if sent_any:
                        return Part(f"{_so_far(push)} {error.sentence}", error.after)
                    raise
                sent_any = True
                if receipt.pause:
                    return Part(f"{_so_far(push)} The CRM's own limit asks for a pause.", receipt.pause)
        return _done(push)

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        """Read back the batch whose answer was lost; what is left to send is sent under the same keys."""
        push, fields = str(request.values["push"]), request.values["fields"]
        is_whole = True
        for batch in crm_pushes.batches(push):
            if batch.sending_to:
                _settle(batch, fields[batch.sending_to])
            is_whole = is_whole and all(system in batch.sent for system in fields)
        return _done(push) if is_whole else Absent(may_repeat=True)


def _send(batch: CrmBatch, system: str, fields: Mapping[str, str], key: str) -> BatchReceipt:
    """One batch into one CRM. It is marked before the call; a Terminal answer ends the push, an Unknown leaves the mark."""
    scores, gone = _scores(batch, fields)
    if not scores:
        receipt = BatchReceipt((), {}, clock.now())
    else:
        batch.sending_to = system
        batch.save(update_fields=["sending_to"])
        receipt = registry.crm(system).upsert_scores(scores, key=key)
    _note(batch, system, len(receipt.accepted), {**receipt.refused, **gone}, "answer")
    return receipt


def _settle(batch: CrmBatch, fields: Mapping[str, str]) -> None:
    """Was it taken? When every customer of it has these values, yes; a batch that is there in part is sent again, which sets the same."""
    scores, gone = _scores(batch, fields)
    there = registry.crm(batch.sending_to).which_are_set(scores)
    if {score.customer_id for score in scores} <= there:
        _note(batch, batch.sending_to, len(there), gone, "look-up")
    else:
        _unmark(batch)


def _scores(batch: CrmBatch, fields: Mapping[str, str]) -> tuple[list[CustomerScore], dict[str, str]]:
    """The batch under the CRM's names, and who is left out: of a customer who is gone, nothing is sent any more."""
    customers = [customer_id for customer_id, _ in batch.rows]
    deleted = set(Customer.objects.filter(pk__in=customers, is_deleted=True).values_list("pk", flat=True))
    scores = [CustomerScore(one, crm_fields.as_fields(values, fields)) for one, values in batch.rows if one not in deleted]
    return scores, dict.fromkeys(sorted(deleted), "The customer was deleted in Chargebee.")


def _note(batch: CrmBatch, system: str, taken: int, refused: Mapping[str, str], settled_by: str) -> None:
    noted: dict[str, Any] = {"at": clock.now().isoformat(), "taken": taken, "refused": dict(refused), "settled_by": settled_by}
    batch.sent, batch.sending_to = {**batch.sent, system: noted}, ""
    batch.save(update_fields=["sent", "sending_to"])


def _unmark(batch: CrmBatch) -> None:
    batch.sending_to = ""
    batch.save(update_fields=["sending_to"])


def _so_far(push: str) -> str:
    sums = crm_pushes.told(push)
    return "; ".join(f"{_NAMES.get(system, system)}: {one['taken']:,} taken so far" for system, one in sums.items()) + "."


def _done(push: str) -> Done:
    return Done(f"push:{push}", {"crms": crm_pushes.told(push)})


ACTION = CrmPush()
