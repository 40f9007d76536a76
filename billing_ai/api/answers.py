"""Rows as the values that `shapes.py` writes out. A page is made with a fixed number of queries, whatever its length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from approvals.models import Case, Execution, Proposal
from approvals.revisions import read_words
from audit import seal
from audit.models import CustomerKey
from billing_ai.api import scores
from billing_ai.api.models import ApiClient, Change, WebhookDelivery
from billing_ai.api.webhooks import cursor_of
from billing_ai.facts.models import Customer, Invoice
from billing_ai.facts.queries import hash_of_facts
from billing_ai.signals.models import CrmLink
from billing_ai.work.models import Leased


def customers(client: ApiClient, rows: Sequence[Customer]) -> list[dict[str, Any]]:
    """Customers with their scores, CRM links and open cases."""
    ids = [row.pk for row in rows]
    found = scores.latest(ids)
    links = _grouped(CrmLink.objects.filter(client=client.name, chargebee_customer_id__in=ids).order_by("system", "crm_id"))
    cases = _grouped(Case.objects.filter(chargebee_customer_id__in=ids, status__in=Case.ACTIVE).order_by("-stake", "id"))
    answers = []
    for row in rows:
        opened: list[Any] = cases.get(row.pk, [])
        answers.append(
            {
                "id": row.pk,
                "business_entity_id": row.business_entity_id,
                "country": row.country,
                "tier": row.tier,
                "customer_since": row.customer_since,
                "crm": links.get(row.pk, []),
                "score": found.get(row.pk),
                "open_cases": [_open_case(case) for case in opened],
                "next_action": next((case.next_action for case in opened if case.next_action), None),
            }
        )
    return answers


def cases(rows: Sequence[Case]) -> list[dict[str, Any]]:
    """Cases with the ids of their proposals, promises and outcomes. The rows have to be prefetched by `with_parts`."""
    return [
        {
            **{name: getattr(case, name) for name in _CASE_COLUMNS},
            "customer_id": case.chargebee_customer_id,
            "invoice_id": case.chargebee_invoice_id,
            "likelihood": case.likelihood_bp / 10_000,
            "reasons": scores.reasons(case.reasons),
            "proposal_ids": [proposal.pk for proposal in sorted(case.proposals.all(), key=lambda one: (one.created_at, one.pk))],
            "promises": list(case.promises.all()),
            "outcomes": list(case.outcomes.all()),
        }
        for case in rows
    ]


_CASE_COLUMNS = (
    "id", "kind", "agent", "status", "amount_due_minor", "recovered_minor", "currency", "due_on", "category", "headline", "next_action",
    "escalated_to_lead", "broken_promise", "snoozed_until", "opened_at", "closed_at",
)  # fmt: skip
CASE_PARTS = ("proposals", "promises", "outcomes")
_PROPOSAL_COLUMNS = (
    "id", "case_id", "agent", "action", "step", "status", "amount_minor", "currency", "role_needed", "approvals_needed", "created_at",
    "expires_at", "finished_at",
)  # fmt: skip
PROPOSAL_PARTS = ("decisions__by",)


def proposals(rows: Sequence[Proposal], *, with_words: bool) -> list[dict[str, Any]]:
    """Proposals with their decisions and execution. `facts_hash` is of the facts as they are now: what an approval has to carry."""
    executions = {row.proposal_id: row for row in Execution.objects.filter(proposal__in=rows)}
    hashes = _facts_hashes(rows)
    keys = CustomerKey.objects.in_bulk({row.chargebee_customer_id for row in rows}) if with_words else {}
    return [
        {
            **{name: getattr(row, name) for name in _PROPOSAL_COLUMNS},
            "customer_id": row.chargebee_customer_id,
            "invoice_id": row.chargebee_invoice_id,
            "content_hash": row.current.content_hash if row.current else "",
            "facts_hash": hashes[row.chargebee_invoice_id, row.chargebee_customer_id],
            "words": _words(row, keys.get(row.chargebee_customer_id)) if with_words else None,
            "reasons": scores.reasons(row.reasons),
            "checks": [{name: check[name] for name in ("rule", "outcome", "sentence")} for check in row.verdict.get("checks", ())],
            "decisions": [
                {
                    "kind": one.kind,
                    "by": one.by.get_username() if one.by else f"policy:{one.by_policy}",
                    "role": one.role,
                    "reason_code": one.reason_code,
                    "at": one.at,
                }
                for one in sorted(row.decisions.all(), key=lambda one: (one.at, one.pk))
            ],
            "execution": executions.get(row.pk),
        }
        for row in rows
    ]


def change(row: Change) -> dict[str, Any]:
    """One line of the feed."""
    return {"id": str(row.pk), "kind": row.kind, "happened_at": row.happened_at, "cursor": cursor_of(row), "data": row.payload}


def delivery(row: WebhookDelivery) -> dict[str, Any]:
    """One delivery of a webhook."""
    return {
        "id": row.pk,
        "change_id": str(row.change_id),
        "kind": row.change.kind,
        "status": row.status,
        "attempts": row.attempt,
        "last_status": row.last_status,
        "reason": row.reason,
        "next_at": row.not_before if row.status == Leased.WAITING else None,
        "delivered_at": row.delivered_at,
    }


def _facts_hashes(rows: Sequence[Proposal]) -> dict[tuple[str, str], str]:
    """What `queries.facts_hash` gives for each (invoice, customer), with two queries for all of them."""
    invoices = Invoice.objects.in_bulk({row.chargebee_invoice_id for row in rows if row.chargebee_invoice_id})
    whose = {}
    for row in rows:
        invoice = invoices.get(row.chargebee_invoice_id)
        asked = (row.chargebee_invoice_id, row.chargebee_customer_id)
        whose[asked] = invoice.chargebee_customer_id if invoice else "" if row.chargebee_invoice_id else row.chargebee_customer_id
    known = Customer.objects.in_bulk({customer_id for customer_id in whose.values() if customer_id})
    return {asked: hash_of_facts(invoices.get(asked[0]), known.get(customer_id)) for asked, customer_id in whose.items()}


def _words(proposal: Proposal, key: CustomerKey | None) -> dict[str, str] | None:
    if proposal.current is None:
        return None
    revision = proposal.current
    revision.proposal = proposal
    try:
        words = read_words(revision, seal.Opened(proposal.chargebee_customer_id, key))
    except seal.Erased:
        return None
    return None if words is None else {"channel": words.channel, "language": words.language, "subject": words.subject, "body": words.body}


def _open_case(case: Case) -> dict[str, Any]:
    return {
        "id": case.pk,
        "kind": case.kind,
        "status": case.status,
        "invoice_id": case.chargebee_invoice_id,
        "amount_due_minor": case.amount_due_minor,
        "currency": case.currency,
        "next_action": case.next_action,
    }


def _grouped(rows: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.chargebee_customer_id, []).append(row)
    return found
