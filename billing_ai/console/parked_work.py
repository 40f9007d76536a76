"""Which room a parked row belongs to, and what replaying, correcting or dropping it means there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError

from agents.models import AgentRun
from approvals import transitions
from approvals.people import Refused, role_of
from audit.actor import person
from billing_ai.inbox.models import Event
from billing_ai.signals.models import ExternalTicket, Incoming, ReplyNote, UsageEvent
from billing_ai.work import parked

TOLD: dict[str, type[Incoming]] = {"usage": UsageEvent, "ticket": ExternalTicket, "note": ReplyNote}
"""What other systems told of customers who never turned up. A replay looks for the customer once more; what they told is not corrected here."""
_ID = re.compile(r"[\w.:@+-]{1,100}")
"""An id of Chargebee's, as people copy it from there."""


def decide(kind: str, pk: str, user: User, what: str, note: str, cause: Mapping[str, str] | None = None) -> str:
    """Replay, correct or drop one parked row; gives the sentence that says so. Raises Refused, and then nothing has changed.

    `cause`, for a correction: `customer_id` and `invoice_id`, what the event or the run should have been about. An effect is bound to its approval
    and is not corrected: drop it, and a new draft is made.
    """
    role_of(user)
    if what not in ("replay", "correct", "drop") or (what == "correct" and kind in ("execution", *TOLD)):
        raise Refused("unknown_order", "Replay it, correct it or drop it.")
    if not note:
        raise Refused("note_needed", "Say why.")
    if kind == "execution" and pk.isdigit():
        (transitions.replay_parked if what == "replay" else transitions.drop_parked)(int(pk), user, note)
    else:
        row = _row(kind, pk)
        if row is None:
            raise Refused("not_parked", "This does not exist.")
        try:
            if what == "correct" and not isinstance(row, Incoming):
                columns = _corrected(row, cause or {})
                changed = parked.correct(row, person(user), note, columns, subject=(kind, pk), trace_id=row.trace_id)
            else:
                order = parked.replay if what == "replay" else parked.drop
                changed = order(row, person(user), note, subject=(kind, pk), trace_id=row.trace_id)
        except IntegrityError as error:
            raise Refused("already_waiting", "A newer run for the same subject waits already; drop this one.") from error
        if not changed:
            raise Refused("not_parked", "It is not parked any more: someone was faster.")
    return {"replay": "It goes on.", "correct": "Corrected; it goes on.", "drop": "Dropped."}[what]


def _corrected(row: Event | AgentRun, cause: Mapping[str, str]) -> dict[str, Any]:
    """The columns that say what the row is about."""
    customer_id, invoice_id = cause.get("customer_id", "").strip(), cause.get("invoice_id", "").strip()
    if not (customer_id or invoice_id) or not all(_ID.fullmatch(one) for one in (customer_id, invoice_id) if one):
        raise Refused("no_cause", "Nothing was changed: give the id of the customer or of the invoice, as Chargebee shows it.")
    if isinstance(row, AgentRun):
        subject_id = invoice_id if row.subject_kind == "invoice" else customer_id
        if not subject_id:
            raise Refused("no_cause", f"Nothing was changed: this run is about one {row.subject_kind}; give its id.")
        return {"subject_id": subject_id, **({"chargebee_customer_id": customer_id} if customer_id else {})}
    named = (("customer", customer_id), ("invoice", invoice_id))
    return {
        "chargebee_customer_id": customer_id,
        "resources": [{"kind": kind, "id": name, "version": None} for kind, name in named if name],
    }


def _row(kind: str, pk: str) -> Event | AgentRun | Incoming | None:
    if kind in TOLD and pk.isdigit():
        return TOLD[kind]._default_manager.filter(pk=int(pk)).first()
    if kind == "event" and pk.isdigit():
        return Event.objects.filter(pk=int(pk)).first()
    if kind == "run":
        try:
            return AgentRun.objects.filter(pk=UUID(pk)).first()
        except ValueError:
            return None
    return None
