"""The one shape of an action: look again, freeze, act, look up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from approvals.contract import Check
from approvals.models import Execution, Proposal, Revision
from approvals.policy.words_origin import Origin


@dataclass(frozen=True, slots=True)
class Request:
    """The frozen request. `values` go to the database as they are: no names. `sealed` is kept under the customer's key."""

    values: Mapping[str, Any]
    sealed: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """It happened. `reference` is the other system's name for it; `data` is derived, without personal data."""

    reference: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of it happened and is written down; the rest follows under the same key after a pause. Uses up no attempt."""

    sentence: str
    after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Absent:
    """The other system answered, and has nothing of it. `may_repeat`: the same key is still honoured, or repeating sets a state."""

    may_repeat: bool


@dataclass(frozen=True, slots=True)
class StillGoing:
    """Not settled there yet; ask again later."""


@dataclass(frozen=True, slots=True)
class CannotTell:
    """The other system cannot be asked; a person decides. `sentence` says why."""

    sentence: str


Settled = Done | Absent | StillGoing | CannotTell


@dataclass(frozen=True, slots=True)
class Look:
    """What the second look saw: the checks it made, and the facts that an action needs, in memory only, and whose words a message is in."""

    checks: tuple[Check, ...]
    live: Any = None
    origin: Origin | None = None

    @property
    def stopped_by(self) -> Check | None:
        """The first check that does not allow it."""
        return next((check for check in self.checks if check.outcome in ("deny", "person")), None)

    @property
    def wait(self) -> Check | None:
        """The first check that would allow it later."""
        return next((check for check in self.checks if check.outcome == "wait"), None)


class Action(Protocol):
    """One thing that can be done outside."""

    @property
    def key(self) -> str:
        """The text that rows name it by."""

    @property
    def label(self) -> str:
        """For people: `Send message`."""

    @property
    def moves_money(self) -> bool:
        """Whether carrying it out takes or gives money."""

    @property
    def channel(self) -> str:
        """email, sms or empty: what the contact rules are asked about."""

    @property
    def calls_to_freeze(self) -> bool:
        """Whether `freeze` makes something outside (a payment page). The kill switch is asked before it, and names it while it runs."""

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """One sentence: what approving this does."""

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """Re-read what this rests on. Raises Retryable when the other system cannot be read now."""

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """The exact request. Raises Terminal when it cannot be made from what was approved."""

    def act(self, request: Request, *, key: str) -> Done | Part:
        """Make the call. Raises Retryable, Terminal (`declined` when it is an answer), Unknown."""

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        """Did it happen? Called only for an effect whose answer was lost. Raises Retryable when the other system is away."""
