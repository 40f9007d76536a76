"""How a question is put: one record, or a list page by page; and how filters are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from billing_ai.integrations.chargebee.call import run
from billing_ai.integrations.chargebee.shapes import Raw
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal

T = TypeVar("T")
PAGE_SIZE = 100


def one(operation: str, resource: str, call: Callable[[], Any], narrow: Callable[[Raw], T]) -> T:
    """Ask for one resource and narrow it. Raises Retryable, Terminal."""
    return run(operation, lambda: narrow(getattr(call(), resource).raw_data), has_effect=False)


def many(
    resource: str, call: Callable[[dict[str, Any]], Any], params: Mapping[str, Any], narrow: Callable[[Raw], T], *, verb: str = "list"
) -> Iterator[T]:
    """Ask for a list; the next page is fetched when the last one is used up. Raises Retryable, Terminal, also when the list does not go on."""
    offset = ""
    while True:
        page = {**params, "limit": PAGE_SIZE, **({"offset": offset} if offset else {})}

        def fetch(page: dict[str, Any] = page) -> tuple[list[T], str]:
            answer = call(page)
            return [narrow(getattr(entry, resource).raw_data) for entry in answer.list], answer.next_offset or ""

        found, following = run(f"{resource}.{verb}", fetch, has_effect=False)
        yield from found
        if not following:
            return
        if following == offset:
            raise Terminal("chargebee.endless_list", "Chargebee's list does not go on: it names the same page again.")
        offset = following


def as_sent(raw: Raw) -> Raw:
    """No narrowing: the resource as Chargebee sends it."""
    return raw


def checked(resource_id: str) -> str:
    """The id itself. Raises Terminal when it is blank or dots: it would ask for the whole list, or for something else."""
    if resource_id.strip() in ("", ".", ".."):
        raise Terminal("chargebee.no_id", "There is no id to ask Chargebee for.")
    return resource_id


def is_(name: str, value: str) -> dict[str, Any]:
    """A filter on one value; none when it is empty."""
    return {name: {"is": value}} if value else {}


def in_(name: str, values: Sequence[str]) -> dict[str, Any]:
    """A filter on several values; none when there are none."""
    return {name: {"in": list(values)}} if values else {}


def since(name: str, moment: datetime | None) -> dict[str, Any]:
    """A filter on what is later than an instant."""
    return {name: {"after": clock.to_seconds(moment)}} if moment else {}


def oldest_first(name: str) -> dict[str, Any]:
    """The order in which a backlog is worked off."""
    return {"sort_by": {"asc": name}}
