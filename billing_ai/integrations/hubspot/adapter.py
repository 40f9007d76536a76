"""CrmSink over HubSpot: companies upserted by a unique property, tasks found again by another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, cast
from urllib.parse import quote

from billing_ai.integrations.hubspot.client import COMPANY_KEY_PROPERTY, TASK_KEY_PROPERTY, TASK_TO_COMPANY, hubspot
from billing_ai.integrations.hubspot.errors import pause_after
from billing_ai.integrations.ports import Absent, BatchReceipt, CustomerScore, Found, LookUp, NewTask, SentReceipt
from billing_ai.integrations.rest import RestVendor, entry, iso_moment
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal

BATCH_SIZE = 100


class HubspotCrm:
    """Scores on companies, tasks on their owners' lists."""

    def upsert_scores(self, batch: Sequence[CustomerScore], *, key: str) -> BatchReceipt:
        """Set properties on companies, 100 a call. Setting the same again changes nothing. Raises Retryable, Terminal, Unknown."""
        vendor = hubspot()
        accepted: list[str] = []
        refused: dict[str, str] = {}
        pause = timedelta(0)
        for start in range(0, len(batch), BATCH_SIZE):
            part = batch[start : start + BATCH_SIZE]
            inputs = [
                {
                    "idProperty": COMPANY_KEY_PROPERTY,
                    "id": score.customer_id,
                    "properties": {name: _property(value) for name, value in score.fields.items()},
                }
                for score in part
            ]
            reply = vendor.call(
                "POST",
                "/companies/batch/upsert",
                has_effect=True,
                json={"inputs": inputs},
                headers={"Idempotency-Key": f"{key}:{start}"},
            )
            if not isinstance(entry(reply.content, "results"), list):
                raise vendor.unreadable(has_effect=True)
            failed = _failed(reply.content)
            refused.update({score.customer_id: failed[score.customer_id] for score in part if score.customer_id in failed})
            accepted.extend(score.customer_id for score in part if score.customer_id not in failed)
            pause = max(pause, pause_after(reply.headers))
        return BatchReceipt(tuple(accepted), refused, clock.now(), pause)

    def which_are_set(self, batch: Sequence[CustomerScore]) -> frozenset[str]:
        """Asked in one call for each 100 companies. Raises Retryable or Terminal."""
        vendor = hubspot()
        found: set[str] = set()
        for start in range(0, len(batch), BATCH_SIZE):
            part = {score.customer_id: score.fields for score in batch[start : start + BATCH_SIZE]}
            names = sorted({name for fields in part.values() for name in fields})
            asked = {
                "idProperty": COMPANY_KEY_PROPERTY,
                "properties": [COMPANY_KEY_PROPERTY, *names],
                "inputs": [{"id": customer_id} for customer_id in part],
            }
            reply = vendor.call("POST", "/companies/batch/read", has_effect=False, json=asked)
            rows = entry(reply.content, "results")
            if not isinstance(rows, list):
                raise vendor.unreadable(has_effect=False)
            for row in rows:
                held = entry(row, "properties")
                customer_id = str(entry(held, COMPANY_KEY_PROPERTY))
                if customer_id in part and all((entry(held, name) or "") == _property(value) for name, value in part[customer_id].items()):
                    found.add(customer_id)
        return frozenset(found)

    def create_task(self, task: NewTask, *, key: str) -> SentReceipt:
        """Create a task on the customer's company. Raises Retryable, Terminal (also when there is no such company), Unknown."""
        vendor = hubspot()
        company_id = _company_id(vendor, task.customer_id)
        due = datetime.combine(task.due_on, time(9), UTC) if task.due_on else clock.now()
        body: dict[str, Any] = {
            "properties": {
                "hs_timestamp": due.isoformat(),
                "hs_task_subject": task.subject,
                "hs_task_body": task.body,
                "hs_task_status": "NOT_STARTED",
                "hs_task_priority": "HIGH" if task.is_urgent else "MEDIUM",
                "hs_task_type": "CALL" if task.is_call else "TODO",
                TASK_KEY_PROPERTY: key,
                **({"hubspot_owner_id": task.owner_id} if task.owner_id else {}),
            },
            "associations": [
                {
                    "to": {"id": company_id},
                    "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": TASK_TO_COMPANY}],
                }
            ],
        }
        try:
            reply = vendor.call("POST", "/tasks", has_effect=True, json=body, headers={"Idempotency-Key": key})
        except Terminal as error:
            # The property is unique: a conflict is this very task, made by an earlier call.
            known = self.look_up(key) if error.code == "hubspot.already_there" else None
            if isinstance(known, Found):
                return known.receipt
            raise
        task_id = entry(reply.content, "id")
        if not isinstance(task_id, str) or not task_id:
            raise vendor.unreadable(has_effect=True)
        return SentReceipt(task_id, clock.now())

    def look_up(self, key: str) -> LookUp:
        """The task with that key, by its unique property (HubSpot's search lags, this does not). Raises Retryable or Terminal."""
        row = _by_property(hubspot(), "tasks", key, TASK_KEY_PROPERTY)
        if row is None:
            return Absent()
        return Found(SentReceipt(row["id"], iso_moment(entry(row, "createdAt")) or clock.now(), replayed=True))


def _property(value: str | int | bool | None) -> str:
    """HubSpot takes every property as text; an empty one clears it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _failed(content: Any) -> dict[str, str]:
    """For each id that a 207 answer names as failed, a sentence."""
    failed: dict[str, str] = {}
    for error in entry(content, "errors") or []:
        ids = entry(error, "context", "ids") or entry(error, "context", "id") or []
        category = str(entry(error, "category") or "no reason given")[:60]
        failed.update({str(name): f"HubSpot refuses the record ({category})." for name in (ids if isinstance(ids, list) else [ids])})
    return failed


def _company_id(vendor: RestVendor, customer_id: str) -> str:
    row = _by_property(vendor, "companies", customer_id, COMPANY_KEY_PROPERTY)
    if row is None:
        raise Terminal("hubspot.no_company", "HubSpot has no company for this customer. Nothing was done.")
    return str(row["id"])


def _by_property(vendor: RestVendor, kind: str, value: str, name: str) -> Mapping[str, Any] | None:
    """The record whose unique property has that value, with its `id`, or None."""
    try:
        reply = vendor.call("GET", f"/{kind}/{quote(value, safe='')}", has_effect=False, params={"idProperty": name})
    except Terminal as error:
        if error.code == "hubspot.not_found":
            return None
        raise
    if not isinstance(entry(reply.content, "id"), str):
        raise vendor.unreadable(has_effect=False)
    return cast(Mapping[str, Any], reply.content)
