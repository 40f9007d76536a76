"""What each CRM was last given of each customer, so that a push holds only what is different from that.

Nothing is noted when something is sent. It is read afterwards from the batches of earlier pushes, which say what was taken and when: a crash, a
push that nobody approved or that stopped half way, and a customer whom the CRM refused, all mean "not there", and so go along again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import transaction

from agents.churn.models import ScoringRun, SentScore
from approvals import crm_fields, crm_pushes
from audit import ledger
from audit.actor import Actor
from billing_ai.kernel import clock, ids

_LOOKED_BACK = timedelta(days=10)
"""Longer than a push may wait to be sent (`crm_push.STALE_AFTER`) and then be carried out."""
_AT_ONCE = 2_000
_SAYS_NOTHING_NEW = frozenset({"scored_at", "why"})
Known = dict[tuple[str, str], SentScore]


def mark(values: Mapping[str, Any], fields: Mapping[str, str]) -> str:
    """What makes a customer's values worth sending: chances, band, trend, health, and which reasons there are; under the CRM's own names.

    When it was scored, and the figures inside the reasons, change every night and are sent along with the rest only.
    """
    telling = {theirs: values[ours] for ours, theirs in fields.items() if ours in values and ours not in _SAYS_NOTHING_NEW}
    if "why" in fields:
        telling[fields["why"]] = [said.partition(":")[0] for said in str(values.get("why", "")).split("; ")]
    return ids.content_hash([sorted(fields.items()), telling])[:32]


def changed(rows: Iterable[crm_pushes.Row]) -> Iterator[crm_pushes.Row]:
    """Of the rows those that some CRM does not have as they are. A few thousand in memory at a time."""
    mapping = crm_fields.mapping()
    source = iter(rows)
    while some := list(islice(source, _AT_ONCE)):
        known = _known({customer_id for customer_id, _ in some})
        for customer_id, values in some:
            for system, fields in mapping.items():
                sent = known.get((customer_id, system))
                if sent is None or sent.mark != mark(values, fields):
                    yield customer_id, values
                    break


def learn() -> None:
    """Read from the pushes of the last days what was taken since they were last looked at. Safe to repeat."""
    with transaction.atomic():
        _learn()


def _learn() -> None:
    nights = ScoringRun.objects.filter(status=ScoringRun.DONE, as_of__gte=clock.now() - _LOOKED_BACK).order_by("night")
    for night in nights:
        push = night.figures.get("push")
        if not push or night.figures.get("push_is_whole"):
            continue
        batches, is_whole = iter(crm_pushes.batches(str(push["push"]))), True
        while some := list(islice(batches, _AT_ONCE // crm_pushes.BATCH)):
            _take_over(some, push["fields"])
            is_whole = is_whole and all(set(batch.sent) >= set(push["fields"]) for batch in some)
        if is_whole:
            night.figures = {**night.figures, "push_is_whole": True}
            night.save(update_fields=["figures"])


def forget(actor: Actor) -> int:
    """The next push holds everyone: whoever changed values in the CRM, or put it back from a backup, wants that. Returns how many are forgotten."""
    with transaction.atomic():
        learn()
        forgotten, _ = SentScore.objects.all().delete()
        # Nor may an earlier push teach it again.
        for night in ScoringRun.objects.filter(figures__has_key="push"):
            night.figures = {**night.figures, "push_is_whole": True}
            night.save(update_fields=["figures"])
        ledger.append(
            "crm.everyone_is_sent_again",
            actor=actor,
            trace_id=ids.new_trace_id(),
            subject=("agent", "churn"),
            data={"forgotten": forgotten},
        )
    return forgotten


def _take_over(batches: list[Any], fields: Mapping[str, Mapping[str, str]]) -> None:
    """Note what these batches say was taken; the later of two calls about a customer counts, whichever push it was of."""
    known = _known({customer_id for batch in batches for customer_id, _ in batch.rows})
    newer: Known = {}
    for batch in batches:
        for system, said in batch.sent.items():
            at = datetime.fromisoformat(said["at"])
            for customer_id, values in batch.rows:
                before = newer.get((customer_id, system)) or known.get((customer_id, system))
                if customer_id in said["refused"] or system not in fields or (before is not None and before.sent_at >= at):
                    continue
                newer[customer_id, system] = SentScore(
                    chargebee_customer_id=customer_id, system=system, mark=mark(values, fields[system]), sent_at=at
                )
    SentScore.objects.bulk_create(
        newer.values(),
        batch_size=500,
        update_conflicts=True,
        unique_fields=["chargebee_customer_id", "system"],
        update_fields=["mark", "sent_at"],
    )


def _known(customer_ids: set[str]) -> Known:
    return {(row.chargebee_customer_id, row.system): row for row in SentScore.objects.filter(chargebee_customer_id__in=customer_ids)}
