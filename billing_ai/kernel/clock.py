"""One clock. Everything that asks for the time asks here, so that tests and the demo's time machine can move it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic


def now() -> datetime:
    """The present instant, aware, in UTC."""
    return datetime.now(UTC) + offset()


def from_seconds(seconds: int) -> datetime:
    """A Chargebee timestamp (seconds since 1970) as an aware instant. Raises ValueError on milliseconds."""
    if seconds > 100_000_000_000:
        raise ValueError(f"{seconds} looks like milliseconds; Chargebee's timestamps are seconds")
    return datetime.fromtimestamp(seconds, UTC)


def to_seconds(moment: datetime) -> int:
    """An aware instant as Chargebee writes it. Raises ValueError on a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a naive datetime has no instant")
    return int(moment.timestamp())


def utc_date(moment: datetime) -> date:
    """The calendar date of an instant, in UTC."""
    return moment.astimezone(UTC).date()


_offset: timedelta = timedelta()
_offset_file: Path | None = None
_offset_read_at = 0.0


def follow(path: Path | None) -> None:
    """Let `now()` follow a file that holds seconds to add (the simulator writes it when its clock is moved). None: real time."""
    global _offset_file, _offset, _offset_read_at
    _offset_file, _offset, _offset_read_at = path, timedelta(), 0.0


def offset() -> timedelta:
    """How far this clock is ahead of real time. Zero wherever no file is followed."""
    global _offset, _offset_read_at
    if _offset_file is None:
        return _offset
    if monotonic() - _offset_read_at > 0.5:
        _offset_read_at = monotonic()
        try:
            _offset = timedelta(seconds=float(_offset_file.read_text() or 0))
        except (FileNotFoundError, ValueError):
            # Half written or not there yet: time goes on as it did.
            return _offset
    return _offset


def shift(by: timedelta) -> None:
    """Move this process's clock, for tests. `follow` a file to move every process of a demo."""
    global _offset, _offset_file
    _offset, _offset_file = by, None
