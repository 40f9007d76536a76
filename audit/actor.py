"""Who acts, and under which trace. The answer goes into every ledger entry and every log line."""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

ActorKind = Literal["person", "policy", "agent", "system", "chargebee"]

if TYPE_CHECKING:
    # Only for the type: the log filter here is loaded before Django's apps are.
    from django.contrib.auth.base_user import AbstractBaseUser


@dataclass(frozen=True, slots=True)
class Actor:
    """Someone or something that makes a change. `label` is what a reader of the ledger sees; it never names a customer."""

    kind: ActorKind
    id: str
    label: str


def person(user: AbstractBaseUser) -> Actor:
    """A signed-in colleague. Raises ValueError for a user that was never stored (an anonymous one, say)."""
    if user.pk is None:
        raise ValueError("only a stored user can be held to what they did")
    return Actor("person", str(user.pk), user.get_username())


def policy(name: str) -> Actor:
    """A policy that decided by itself, under the limits that people gave it."""
    return Actor("policy", name, name)


def agent(name: str) -> Actor:
    """An agent, which reads and proposes."""
    return Actor("agent", name, name)


def system(name: str) -> Actor:
    """A part of this system that acts by the clock: a sweep, a checkpoint, a migration."""
    return Actor("system", name, name)


def operator() -> Actor:
    """Whoever ran this command on a machine, by their login there (`os:root`): the process's own account, not what its environment claims."""
    account = os.getuid()
    try:
        login = pwd.getpwuid(account).pw_name
    except KeyError:  # a container's account without a name
        login = str(account)
    return Actor("system", f"os:{login}", f"{login} at the command line")


def chargebee() -> Actor:
    """Chargebee, when a webhook or a fetched resource changed something here."""
    return Actor("chargebee", "chargebee", "Chargebee")


@dataclass(frozen=True, slots=True)
class _Acting:
    actor: Actor | None = None
    trace_id: str = ""


_NOBODY = _Acting()
_acting: ContextVar[_Acting] = ContextVar("audit_acting", default=_NOBODY)


@contextmanager
def acting(actor: Actor, trace_id: str) -> Iterator[None]:
    """Everything inside is done by `actor` under `trace_id`; the one before is back afterwards, also after an exception."""
    token = _acting.set(_Acting(actor, trace_id))
    try:
        yield
    finally:
        _acting.reset(token)


def current_actor() -> Actor:
    """Who acts here. Raises LookupError outside `acting`: nothing is ever done by nobody."""
    found = _acting.get().actor
    if found is None:
        raise LookupError("no actor: wrap this in audit.actor.acting(actor, trace_id)")
    return found


def current_trace_id() -> str:
    """The trace id of the work under way, or the empty text."""
    return _acting.get().trace_id


class TraceFilter(logging.Filter):
    """Puts `trace_id` on each log record that does not carry one yet (`-` outside any trace)."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "trace_id"):
            record.trace_id = current_trace_id() or "-"
        return True
