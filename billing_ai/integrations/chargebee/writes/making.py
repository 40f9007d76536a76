"""How a change is made: once, under the key that may write, in the lane of execution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from chargebee import Chargebee  # type: ignore[import-untyped]  # the SDK ships no py.typed
from django.conf import settings

from billing_ai.integrations.chargebee import budget
from billing_ai.integrations.chargebee.call import run
from billing_ai.integrations.chargebee.client import site
from billing_ai.integrations.chargebee.shapes import Raw
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal

T = TypeVar("T")
LONGEST_KEY = 100
LONGEST_COLLECT_COMMENT = 300
LONGEST_NOTE = 1000


@dataclass(frozen=True, slots=True)
class Written(Generic[T]):
    """The resource as it is after the write. `was_replayed`: Chargebee had done this under the same key before and did nothing new."""

    resource: T
    was_replayed: bool


def write_site() -> Chargebee:
    """The site under the key that may write. Raises Terminal without one."""
    return site(settings.CHARGEBEE_API_KEY)


def headers_for(idempotency_key: str) -> dict[str, str]:
    """The header that makes a repeated write the same write. Raises Terminal on a key that Chargebee would not take."""
    if not idempotency_key or len(idempotency_key) > LONGEST_KEY or not idempotency_key.isascii() or not idempotency_key.isprintable():
        raise Terminal("chargebee.bad_key", f"A write needs an idempotency key of 1 to {LONGEST_KEY} plain characters. Nothing was sent.")
    return {Chargebee.idempotency_header: idempotency_key}


def write(
    operation: str,
    resource: str,
    narrow: Callable[[Raw], T],
    call: Callable[[dict[str, str]], Any],
    idempotency_key: str,
    *,
    has_effect: bool = True,
) -> Written[T]:
    """Make one write and narrow what it answers. `has_effect=False` is for what may be repeated without harm. Raises Retryable, Terminal, Unknown."""
    headers = headers_for(idempotency_key)

    def once() -> Written[T]:
        answer = call(headers)
        return Written(narrow(getattr(answer, resource).raw_data), bool(answer.is_idempotency_replayed))

    with budget.at_least(budget.Lane.EXECUTION):
        return run(operation, once, has_effect=has_effect)


def comment_of(comment: str) -> dict[str, str]:
    """The parameter for an internal comment, none when it is empty. Raises Terminal when it is too long."""
    not_longer(comment, LONGEST_COLLECT_COMMENT, "comment")
    return {"comment": comment} if comment else {}


def dates(**moments: datetime | None) -> dict[str, int]:
    """Parameters for the instants that are given, in seconds."""
    return {name: clock.to_seconds(moment) for name, moment in moments.items() if moment is not None}


def not_longer(words: str, longest: int, what: str) -> None:
    """Raises Terminal on words that Chargebee would cut or refuse."""
    if len(words) > longest:
        raise Terminal("chargebee.too_long", f"The {what} has {len(words)} characters; Chargebee takes {longest}. Nothing was sent.")


def checked(resource_id: str) -> str:
    """The id itself. Raises Terminal when it is blank or dots: it would name something else."""
    if resource_id.strip() in ("", ".", ".."):
        raise Terminal("chargebee.no_id", "There is no id for Chargebee. Nothing was sent.")
    return resource_id


def as_sent(raw: Raw) -> Raw:
    """No narrowing: the resource as Chargebee sends it."""
    return raw
