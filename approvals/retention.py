"""How long words are kept: `RETENTION_DAYS` after a case was closed they are dropped, case by case; the customer's key stays, so work goes on.

An erasure (`audit.seal`) is about a customer and for good; this is about what is long over. Hashes, decisions, amounts and the ledger stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Value

from approvals.models import Case, Contact, Decision, Execution, ExecutionAttempt, Note, Proposal, Revision
from audit import ledger
from audit.actor import system
from audit.seal import DROPPED
from billing_ai.kernel import clock
from billing_ai.kernel.ids import new_trace_id
from billing_ai.signals.models import ExternalTicket, ReplyNote

KEPT_NO_LONGER = "kept no longer"

_BATCH = 200
_BATCHES_A_SWEEP = 5
_UNFINISHED = (Execution.WAITING, Execution.LEASED, Execution.EXECUTING, Execution.UNKNOWN, Execution.PERSON, Execution.PARKED)
"""The frozen request of these may still be sent or looked up."""

Dropper = Callable[[Collection[str], datetime], object]
_droppers: dict[str, Dropper] = {}


def register_dropper(name: str, drop: Dropper) -> None:
    """Let `drop(customer_ids, before)` blank what a floor above holds of these customers from before that time. Call it from an app's `ready`."""
    _droppers[name] = drop


def drop_old_words(batch: int = _BATCH) -> int:
    """Drop the words of cases that were closed more than `RETENTION_DAYS` ago. Returns how many cases; the rest waits for the next sweep. Safe twice."""
    if not settings.RETENTION_DAYS:
        return 0
    before = clock.now() - timedelta(days=settings.RETENTION_DAYS)
    _drop_heard_without_a_case(before, batch)
    return in_batches(_drop_batch, before, batch)


def in_batches(drop: Callable[[datetime, int], int], before: datetime, batch: int) -> int:
    """What one sweep drops: `drop(before, batch)` until it finds less than a batch, a few times at most. Returns how much in all."""
    dropped = 0
    for _ in range(_BATCHES_A_SWEEP):
        found = drop(before, batch)
        dropped += found
        if found < batch:
            break
    return dropped


def _drop_batch(before: datetime, batch: int) -> int:
    unfinished = Execution.objects.filter(proposal__case=OuterRef("pk"), status__in=_UNFINISHED)
    due = Case.objects.filter(~Q(status__in=Case.ACTIVE), closed_at__lt=before, words_dropped_at=None).exclude(Exists(unfinished))
    with transaction.atomic():
        # Locked like every transition locks it, so that no note slips in; what another sweep dropped meanwhile no longer fits the filter.
        cases = list(due.select_for_update(of=("self",)).order_by("closed_at", "pk")[:batch])
        if not cases:
            return 0
        case_ids = [case.pk for case in cases]
        _blank(case_ids)
        customer_ids = sorted({case.chargebee_customer_id for case in cases} - {""})
        _blank_heard(case_ids, customer_ids, before)
        for drop in _droppers.values():
            drop(customer_ids, before)
        now = clock.now()
        Case.objects.filter(pk__in=case_ids).update(tags=[], words_dropped_at=now)
        Case.history.filter(id__in=case_ids).update(tags=[])
        ledger.append(
            "retention.words_dropped",
            actor=system("retention"),
            trace_id=new_trace_id(),
            subject=("retention", f"{before:%Y-%m-%dT%H:%M:%SZ}"),
            data={"days": settings.RETENTION_DAYS, "closed_before": before.isoformat(), "case_ids": [str(pk) for pk in case_ids]},
        )
    return len(cases)


def _blank(case_ids: list[UUID]) -> None:
    """What is sealed becomes DROPPED, what colleagues wrote in the open says so; what never was stays as it is."""
    proposals = Proposal.objects.filter(case_id__in=case_ids)
    executions = Execution.objects.filter(proposal__in=proposals)
    dropped = Value(DROPPED)
    Revision.objects.filter(proposal__in=proposals, sealed_words__isnull=False).update(sealed_words=dropped)
    executions.filter(sealed_request__isnull=False).update(sealed_request=dropped)
    Note.objects.filter(case_id__in=case_ids).update(sealed_text=dropped)
    Contact.objects.filter(case_id__in=case_ids, sealed_text__isnull=False).update(sealed_text=dropped)
    Decision.objects.filter(proposal__in=proposals).exclude(note="").update(note=KEPT_NO_LONGER)
    executions.exclude(reason="").update(reason=KEPT_NO_LONGER)
    ExecutionAttempt.objects.filter(execution__in=executions).exclude(sentence="").update(sentence=KEPT_NO_LONGER)
    Proposal.history.filter(case_id__in=case_ids).update(status_reason="", history_change_reason=KEPT_NO_LONGER)
    proposals.exclude(status_reason="").update(status_reason=KEPT_NO_LONGER)


def _drop_heard_without_a_case(before: datetime, batch: int) -> None:
    """What other systems told and customers answered so long ago, whether a case was ever made of it or not; also what never found its customer.

    What is about a case goes with that case; a ticket that is still open stays.
    """
    replies = ReplyNote.objects.filter(case_id=None, written_at__lt=before, sealed_text__isnull=False)
    tickets = ExternalTicket.objects.filter(changed_at__lt=before, sealed_subject__isnull=False)
    gone = Q(status__in=(ReplyNote.PARKED, ReplyNote.DROPPED))
    found = {
        "replies": replies.filter(gone | Q(status=ReplyNote.DONE)),
        "tickets": tickets.filter(gone | Q(status=ExternalTicket.DONE, ticket_status__in=["solved", "closed"])),
        # Of a number that belongs to no case, or said when there was none.
        "contacts": Contact.objects.filter(case=None, at__lt=before, sealed_text__isnull=False).exclude(sealed_text=DROPPED),
    }
    blank: dict[str, dict[str, bytes | None]] = {
        "replies": {"sealed_text": None}, "tickets": {"sealed_subject": None}, "contacts": {"sealed_text": DROPPED},
    }  # fmt: skip
    for _ in range(_BATCHES_A_SWEEP):
        with transaction.atomic():
            counts = {}
            for name, rows in found.items():
                picked = list(rows.order_by("pk").values_list("pk", flat=True)[:batch])
                counts[name] = rows.model._default_manager.filter(pk__in=picked).update(**blank[name]) if picked else 0
            if not any(counts.values()):
                return
            ledger.append(
                "retention.heard_dropped",
                actor=system("retention"),
                trace_id=new_trace_id(),
                subject=("retention", f"{before:%Y-%m-%dT%H:%M:%SZ}"),
                data={"days": settings.RETENTION_DAYS, "told_before": before.isoformat(), **counts},
            )


def _blank_heard(case_ids: list[UUID], customer_ids: list[str], before: datetime) -> None:
    """Replies and notes from other systems about these cases, and those about no case, and tickets, that are as old as what is dropped."""
    said = ReplyNote.objects.filter(chargebee_customer_id__in=customer_ids, status=ReplyNote.DONE, sealed_text__isnull=False)
    said.filter(Q(case_id__in=case_ids) | Q(case_id=None, written_at__lt=before)).update(sealed_text=None)
    tickets = ExternalTicket.objects.filter(
        chargebee_customer_id__in=customer_ids, status=ExternalTicket.DONE, sealed_subject__isnull=False
    )
    tickets.filter(changed_at__lt=before, ticket_status__in=["solved", "closed"]).update(sealed_subject=None)
