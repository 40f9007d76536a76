"""The site's own time: real time plus an offset that can be moved forward."""

from __future__ import annotations

import time

from billing_ai.simulator.store import Store


class Clock:
    """Simulated UTC seconds. While due work runs, time stands at the moment the work was due."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._offset: int = store.setting("clock_offset", 0)
        self._held_at: int | None = None
        self._last_version = 0

    def now(self) -> int:
        return self._held_at if self._held_at is not None else int(time.time()) + self._offset

    def next_version(self) -> int:
        """A `resource_version`: milliseconds of simulated time, never twice the same."""
        millis = int(time.time() * 1000) + self._offset * 1000 if self._held_at is None else self._held_at * 1000
        self._last_version = max(millis, self._last_version + 1)
        return self._last_version

    def hold_at(self, moment: int | None) -> None:
        """Stand still at `moment` (None: run on)."""
        self._held_at = moment

    def move_to(self, moment: int) -> None:
        """Jump so that `now()` is `moment`; kept over restarts."""
        self._offset = moment - int(time.time())
        self._store.set_setting("clock_offset", self._offset)
