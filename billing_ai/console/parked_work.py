"""Which room a parked row belongs to, and what replaying or dropping it means there."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError

from agents.models import AgentRun
from approvals import transitions
from approvals.people import Refused, role_of
from audit.actor import person
from billing_ai.inbox.models import Event
from billing_ai.work import parked


def decide(kind: str, pk: str, user: User, what: str, note: str) -> str:
    """Replay or drop one parked row; gives the sentence that says so. Raises Refused, and then nothing has changed."""
    role_of(user)
    if what not in ("replay", "drop"):
        raise Refused("unknown_order", "Replay it or drop it.")
    if not note:
        raise Refused("note_needed", "Say why.")
    if kind == "execution" and pk.isdigit():
        (transitions.replay_parked if what == "replay" else transitions.drop_parked)(int(pk), user, note)
    else:
        row = _row(kind, pk)
        if row is None:
            raise Refused("not_parked", "This does not exist.")
        order = parked.replay if what == "replay" else parked.drop
        try:
            changed = order(row, person(user), note, subject=(kind, pk), trace_id=row.trace_id)
        except IntegrityError as error:
            raise Refused("already_waiting", "A newer run for the same subject waits already; drop this one.") from error
        if not changed:
            raise Refused("not_parked", "It is not parked any more: someone was faster.")
    return "It goes on." if what == "replay" else "Dropped."


def _row(kind: str, pk: str) -> Event | AgentRun | None:
    if kind == "event" and pk.isdigit():
        return Event.objects.filter(pk=int(pk)).first()
    if kind == "run":
        try:
            return AgentRun.objects.filter(pk=UUID(pk)).first()
        except ValueError:
            return None
    return None
