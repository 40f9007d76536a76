"""CrmSink over Salesforce: upserts by external id, so that the same call twice leaves one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from django.conf import settings
from simple_salesforce.format import format_soql

from billing_ai.integrations.ports import Absent, BatchReceipt, CustomerScore, Found, LookUp, NewTask, SentReceipt
from billing_ai.integrations.rest import RestVendor, entry, iso_moment
from billing_ai.integrations.salesforce.client import ACCOUNT_BY_KEY, ACCOUNT_KEY_FIELD, TASK_BY_KEY, TASK_KEY_FIELD, salesforce
from billing_ai.integrations.salesforce.errors import pause_after, record_refusal
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal

BATCH_SIZE = 200
ASKED_AT_ONCE = 100
"""Ids in one query, so that its address stays short."""
LONGEST_SUBJECT = 255


class SalesforceCrm:
    """Scores on Account, tasks on its owner's list."""

    def upsert_scores(self, batch: Sequence[CustomerScore], *, key: str) -> BatchReceipt:
        """Set fields on accounts, 200 a call. Setting the same again changes nothing. Raises Retryable, Terminal, Unknown."""
        vendor = salesforce()
        accepted: list[str] = []
        refused: dict[str, str] = {}
        pause = timedelta(0)
        for start in range(0, len(batch), BATCH_SIZE):
            part = batch[start : start + BATCH_SIZE]
            records = [{"attributes": {"type": "Account"}, ACCOUNT_KEY_FIELD: score.customer_id, **score.fields} for score in part]
            reply = vendor.call(
                "PATCH",
                f"/composite/sobjects/Account/{ACCOUNT_KEY_FIELD}",
                has_effect=True,
                json={"allOrNone": False, "records": records},
                headers={"Idempotency-Key": f"{key}:{start}"},
            )
            if not isinstance(reply.content, list) or len(reply.content) != len(part):
                raise vendor.unreadable(has_effect=True)
            for score, result in zip(part, reply.content, strict=True):
                if entry(result, "success") is True:
                    accepted.append(score.customer_id)
                else:
                    refused[score.customer_id] = record_refusal(entry(result, "errors"))
            pause = max(pause, pause_after(reply.headers))
        return BatchReceipt(tuple(accepted), refused, clock.now(), pause)

    def which_are_set(self, batch: Sequence[CustomerScore]) -> frozenset[str]:
        """Asked in one query for each 100 customers. Raises Retryable or Terminal."""
        vendor = salesforce()
        found: set[str] = set()
        for start in range(0, len(batch), ASKED_AT_ONCE):
            part = {score.customer_id: score.fields for score in batch[start : start + ASKED_AT_ONCE]}
            names = sorted({name for fields in part.values() for name in fields})
            if not all(name.isidentifier() for name in names):
                raise Terminal("salesforce.no_field", "One of the fields has a name that no field of Salesforce can have.")
            accounts = format_soql(f"FROM Account WHERE {ACCOUNT_KEY_FIELD} IN {{}}", list(part))
            query = f"SELECT {', '.join([ACCOUNT_KEY_FIELD, *names])} {accounts}"
            reply = vendor.call("GET", "/query", has_effect=False, params={"q": query})
            rows = entry(reply.content, "records")
            if not isinstance(rows, list):
                raise vendor.unreadable(has_effect=False)
            for row in rows:
                customer_id = str(entry(row, ACCOUNT_KEY_FIELD))
                if customer_id in part and all(entry(row, name) == value for name, value in part[customer_id].items()):
                    found.add(customer_id)
        return frozenset(found)

    def create_task(self, task: NewTask, *, key: str) -> SentReceipt:
        """Upsert a task by its key on the customer's account. Raises Retryable, Terminal (also when there is no such account), Unknown."""
        vendor = salesforce()
        body: dict[str, Any] = {
            "Subject": task.subject[:LONGEST_SUBJECT],
            "Description": task.body,
            "Priority": "High" if task.is_urgent else "Normal",
            "Status": "Not Started",
            "WhatId": _account_id(vendor, task.customer_id),
        }
        if task.owner_id:
            body["OwnerId"] = task.owner_id
        if task.is_call:
            body["TaskSubtype"] = "Call"
        if task.due_on is not None:
            body["ActivityDate"] = task.due_on.isoformat()
        reply = vendor.call(
            "PATCH",
            f"/sobjects/Task/{TASK_KEY_FIELD}/{quote(key, safe='')}",
            has_effect=True,
            json=body,
            headers={"Idempotency-Key": key},
        )
        task_id = entry(reply.content, "id")
        if not isinstance(task_id, str) or not task_id:
            raise vendor.unreadable(has_effect=True)
        replayed = entry(reply.content, "created") is False
        return SentReceipt(task_id, clock.now(), replayed=replayed, url=_url(task_id))

    def look_up(self, key: str) -> LookUp:
        """The task with that key. Raises Retryable or Terminal."""
        vendor = salesforce()
        row = _first(vendor, format_soql(TASK_BY_KEY, key))
        if row is None:
            return Absent()
        task_id = row["Id"]
        at = iso_moment(entry(row, "CreatedDate")) or clock.now()
        return Found(SentReceipt(task_id, at, replayed=True, url=_url(task_id)))


def _account_id(vendor: RestVendor, customer_id: str) -> str:
    row = _first(vendor, format_soql(ACCOUNT_BY_KEY, customer_id))
    if row is None:
        raise Terminal("salesforce.no_account", "Salesforce has no account for this customer. Nothing was done.")
    return str(row["Id"])


def _first(vendor: RestVendor, query: str) -> Mapping[str, Any] | None:
    """The first row of a query, with its `Id`, or None."""
    reply = vendor.call("GET", "/query", has_effect=False, params={"q": query})
    rows = entry(reply.content, "records")
    if not isinstance(rows, list) or (rows and not isinstance(entry(rows, 0, "Id"), str)):
        raise vendor.unreadable(has_effect=False)
    return rows[0] if rows else None


def _url(record_id: str) -> str:
    return f"{settings.SALESFORCE_URL.rstrip('/')}/{record_id}"
