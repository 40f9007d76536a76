"""The change feed: what happened to cases, proposals and scores, as rows with a position that only ever grows.

A row is written in the transaction of the change itself, without a position. Positions are given later, to committed rows only and under
one lock: a reader that has seen position 9 has seen everything that will ever stand before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models.signals import post_save

from agents.churn.announcing import BandChange, bands_changed
from approvals.models import Case, Proposal
from approvals.signals import case_changed, proposals_entering
from billing_ai.api.models import Change, ChangeHead
from billing_ai.work.wake import wake

OPENED, SETTLED, CASE, PROPOSAL, BAND, PING = (
    "case.opened",
    "case.settled",
    "case.changed",
    "proposal.changed",
    "score.band_changed",
    "ping",
)
KINDS = (OPENED, SETTLED, CASE, PROPOSAL, BAND, PING)
WEBHOOK_KINDS = (OPENED, SETTLED, CASE, PROPOSAL, BAND)
"""What a webhook may be asked for; a ping goes to whoever asked for one."""
_AT_ONCE = 500


def record(
    kind: str, customer_id: str, subject: tuple[str, str], payload: Mapping[str, Any], *, only_for: Any = None, trace_id: str = ""
) -> Change:
    """Write one line of the feed, in the caller's transaction, and wake the sender of webhooks."""
    made = _line(kind, customer_id, subject, payload, only_for=only_for, trace_id=trace_id)
    made.save(force_insert=True)
    wake("api.deliver")
    return made


def _line(
    kind: str, customer_id: str, subject: tuple[str, str], payload: Mapping[str, Any], *, only_for: Any = None, trace_id: str = ""
) -> Change:
    return Change(
        kind=kind,
        chargebee_customer_id=customer_id,
        subject_kind=subject[0],
        subject_id=subject[1],
        payload=dict(payload),
        only_for=only_for,
        trace_id=trace_id,
    )


def number() -> list[Change]:
    """Give positions to what was committed since, and what was given one. At most 500 at a time; call again while it gives any."""
    if not Change.objects.filter(position__isnull=True).exists():
        return []
    with transaction.atomic():
        ChangeHead.objects.get_or_create(pk=1)
        head = ChangeHead.objects.select_for_update().get(pk=1)
        rows = list(Change.objects.filter(position__isnull=True).order_by("pk")[:_AT_ONCE])
        for row in rows:
            head.last += 1
            row.position = head.last
        if rows:
            Change.objects.bulk_update(rows, ["position"])
            head.save()
            # Here, under the same lock, so that each line is offered to the endpoints exactly once.
            from billing_ai.api import webhooks

            webhooks.fan_out(rows)
    return rows


def number_all() -> None:
    """Number until nothing is left."""
    while len(number()) == _AT_ONCE:
        pass


def listen() -> None:
    """Connect to what the rooms below tell."""
    case_changed.connect(_on_case, dispatch_uid="api.case")
    proposals_entering.connect(_on_entering, dispatch_uid="api.entering")
    bands_changed.connect(_on_bands, dispatch_uid="api.bands")
    post_save.connect(_on_proposal, sender=Proposal, dispatch_uid="api.proposal")


def case_payload(case: Case) -> dict[str, Any]:
    """What the feed says of a case."""
    return {
        "case_id": str(case.pk),
        "customer_id": case.chargebee_customer_id,
        "invoice_id": case.chargebee_invoice_id,
        "kind": case.kind,
        "status": case.status,
        "amount_due_minor": case.amount_due_minor,
        "recovered_minor": case.recovered_minor,
        "currency": case.currency,
    }


def _on_case(*, case: Case, kind: str, **_: Any) -> None:
    _line_of_case(case, kind).save(force_insert=True)
    wake("api.deliver")


def _line_of_case(case: Case, kind: str) -> Change:
    settled = case.status in (Case.RECOVERED, Case.CLOSED) and kind in (f"case.{case.status}", "case.closed")
    told = OPENED if kind == OPENED else (SETTLED if settled else CASE)
    return _line(told, case.chargebee_customer_id, ("case", str(case.pk)), {**case_payload(case), "because": kind}, trace_id=case.trace_id)


def _on_proposal(*, instance: Proposal, raw: bool = False, **_: Any) -> None:
    if raw or not instance.status:
        return
    said = Change.objects.filter(subject_kind="proposal", subject_id=str(instance.pk))
    before = said.order_by("-pk").values_list("payload", flat=True).first()
    if before is not None and before.get("status") == instance.status:
        return
    _line_of_proposal(instance).save(force_insert=True)
    wake("api.deliver")


def _on_entering(*, case: Case, is_new: bool, proposals: Sequence[Proposal], **_: Any) -> list[Change]:
    """The feed's lines of new proposals and of the case that was opened for them, to be written together with them."""
    lines = [_line_of_case(case, OPENED)] if is_new else []
    lines += [_line_of_proposal(one) for one in proposals]
    if lines:
        wake("api.deliver")
    return lines


def _line_of_proposal(instance: Proposal) -> Change:
    payload = {
        "proposal_id": str(instance.pk),
        "case_id": str(instance.case_id),
        "customer_id": instance.chargebee_customer_id,
        "invoice_id": instance.chargebee_invoice_id,
        "action": instance.action,
        "status": instance.status,
    }
    subject = ("proposal", str(instance.pk))
    return _line(PROPOSAL, instance.chargebee_customer_id, subject, payload, trace_id=instance.trace_id)


def _on_bands(*, changes: list[BandChange], **_: Any) -> None:
    told = [change for change in changes if change.before and change.before != change.after]
    Change.objects.bulk_create(
        [
            Change(
                kind=BAND,
                chargebee_customer_id=change.customer_id,
                subject_kind="customer",
                subject_id=change.customer_id,
                payload={
                    "customer_id": change.customer_id,
                    "band_before": change.before,
                    "band": change.after,
                    "churn_90_days": round(change.p90, 4),
                    "health": change.health,
                    "scored_at": change.scored_at.isoformat().replace("+00:00", "Z"),
                },
            )
            for change in told
        ],
        batch_size=500,
    )
    if told:
        wake("api.deliver")
