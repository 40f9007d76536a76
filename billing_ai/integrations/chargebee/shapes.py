"""Reading one field of an answer without trusting its type. What is absent or oddly typed reads as None, zero or empty; nothing raises."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from billing_ai.kernel import clock

Raw = Mapping[str, Any]
"""A resource as Chargebee sent it: the SDK's `raw_data`."""


def text(raw: Raw, name: str) -> str:
    """A text, or empty. Numbers are written out, since some sites have numeric ids."""
    value = raw.get(name)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def number(raw: Raw, name: str) -> int | None:
    """A whole number, or None."""
    value = raw.get(name)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit():
        return int(value)
    return None


def minor(raw: Raw, name: str) -> int:
    """An amount in minor units; absent means none."""
    return number(raw, name) or 0


def truth(raw: Raw, name: str) -> bool:
    """True only for true."""
    return raw.get(name) is True or raw.get(name) == "true"


def moment(raw: Raw, name: str) -> datetime | None:
    """An instant from seconds since 1970, or None."""
    seconds = number(raw, name)
    if seconds is None or seconds <= 0:
        return None
    try:
        return clock.from_seconds(seconds)
    except (ValueError, OverflowError, OSError):
        return None


def rows(raw: Raw, name: str) -> tuple[Raw, ...]:
    """The objects of a list; anything else in it is passed over."""
    value = raw.get(name)
    return tuple(row for row in value if isinstance(row, Mapping)) if isinstance(value, list) else ()


def part(raw: Raw, name: str) -> Raw:
    """A nested object, or an empty one."""
    value = raw.get(name)
    return value if isinstance(value, Mapping) else {}


def custom_fields(raw: Raw) -> Raw:
    """The site's own fields (`cf_…`)."""
    return {name: value for name, value in raw.items() if isinstance(name, str) and name.startswith("cf_")}
