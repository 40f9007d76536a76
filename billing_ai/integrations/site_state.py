"""What all processes know together of each system that they call: the calls of the last minute, until when to hold back, how many failed in a row.

With REDIS_URL it lives in Redis. Without, it lives in a small locked file under VAR_DIR, which serves all processes of one machine: without a
Redis there is only one machine. Only times and counts are kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import redis
from django.conf import settings

CHARGEBEE = "chargebee"
WINDOW_SECONDS = 60.0
wall_clock = time.time
"""Seconds since 1970, on the machine's own clock: processes of one machine share it, and the demo's moved clock must not."""

SECONDS_UNTIL_TRIED_AGAIN = 10.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """Failures in a row, and the instants (seconds since 1970) until which nobody should call; 0 when nothing stands in the way.

    `open_until` is the circuit's, after failures; past, it says that somebody has to look. `held_until` is what the site asked for with a 429.
    `since` is the first of the failures.
    """

    failures: int
    open_until: float
    held_until: float = 0.0
    since: float = 0.0


class SiteState(Protocol):
    """Shared by all processes; each method is atomic."""

    def take(self, limit: int) -> float:
        """Count one call when fewer than `limit` were made in the last minute; otherwise seconds until there is room. 0.0 means: go."""

    def hold(self, seconds: float) -> None:
        """Nobody takes a call for this long: the site said so."""

    def health(self) -> Health:
        """How the last calls went."""

    def failed(self) -> Health:
        """Count a failure."""

    def open(self, seconds: float) -> None:
        """Nobody calls for this long; then somebody has to look first."""

    def claim_look(self, seconds: float) -> bool:
        """Whether the caller is the one who looks, now that the circuit's time is over: for all others it is open for `seconds` more."""

    def succeeded(self) -> None:
        """Close the circuit and forget the failures."""


_NOW = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
"""
_KEPT = """
redis.call('EXPIRE', KEYS[1], 3600)
return 1
"""
_TAKE = (
    _NOW
    + """
local held = tonumber(redis.call('HGET', KEYS[2], 'held_until') or '0')
if held > now then return tostring(held - now) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
local count = redis.call('ZCARD', KEYS[1])
if count >= tonumber(ARGV[1]) then
  local index = count - tonumber(ARGV[1])
  local oldest = redis.call('ZRANGE', KEYS[1], index, index, 'WITHSCORES')
  return tostring(oldest[2] + tonumber(ARGV[2]) - now)
end
redis.call('ZADD', KEYS[1], now, t[1] .. '.' .. t[2] .. '.' .. count)
redis.call('EXPIRE', KEYS[1], 120)
return '0'
"""
)
_FAILED = (
    _NOW
    + """
redis.call('HINCRBY', KEYS[1], 'failures', 1)
redis.call('HSETNX', KEYS[1], 'since', tostring(now))
"""
    + _KEPT
)
_OPEN = (
    _NOW
    + """
redis.call('HSET', KEYS[1], 'open_until', tostring(now + tonumber(ARGV[1])))
"""
    + _KEPT
)
_CLAIM_LOOK = (
    _NOW
    + """
local open_until = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '0')
if open_until == 0 or (now < open_until and open_until <= now + tonumber(ARGV[1])) then return 0 end
redis.call('HSET', KEYS[1], 'open_until', tostring(now + tonumber(ARGV[1])))
"""
    + _KEPT
)
_HOLD = (
    _NOW
    + """
local held = tonumber(redis.call('HGET', KEYS[1], 'held_until') or '0')
if now + tonumber(ARGV[1]) > held then redis.call('HSET', KEYS[1], 'held_until', tostring(now + tonumber(ARGV[1]))) end
"""
    + _KEPT
)


class RedisState:
    """Shared over Redis, by Redis's clock: a sliding minute, exact."""

    def __init__(self, url: str, site: str, system: str = CHARGEBEE) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, health_check_interval=30)
        self._calls = f"{system}:{{{site}}}:calls"
        self._state = f"{system}:{{{site}}}:state"
        self._take = self._redis.register_script(_TAKE)
        self._failed = self._redis.register_script(_FAILED)
        self._open = self._redis.register_script(_OPEN)
        self._claim_look = self._redis.register_script(_CLAIM_LOOK)
        self._hold = self._redis.register_script(_HOLD)

    def take(self, limit: int) -> float:
        return float(self._take(keys=[self._calls, self._state], args=[limit, WINDOW_SECONDS]))

    def hold(self, seconds: float) -> None:
        self._hold(keys=[self._state], args=[seconds])

    def health(self) -> Health:
        failures, open_until, held_until, since = self._redis.hmget(self._state, ["failures", "open_until", "held_until", "since"])
        return Health(int(failures or 0), float(open_until or 0), float(held_until or 0), float(since or 0))

    def failed(self) -> Health:
        self._failed(keys=[self._state])
        return self.health()

    def open(self, seconds: float) -> None:
        self._open(keys=[self._state], args=[seconds])

    def claim_look(self, seconds: float) -> bool:
        return bool(self._claim_look(keys=[self._state], args=[seconds]))

    def succeeded(self) -> None:
        self._redis.hdel(self._state, "failures", "open_until", "since")


_HEAD = 4


class FileState:
    """Shared by the processes of one machine through a locked file: held_until, failures, open_until, since, then the times of the last calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # flock is held by an open file, and threads open their own; the lock below only spares them the system call.
        self._lock = threading.Lock()

    @contextmanager
    def _locked(self) -> Iterator[array[float]]:
        """The file's numbers, written back when the block ends without an error."""
        with self._lock:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                raw = os.pread(file, 1 << 20, 0)
                numbers = array("d")
                numbers.frombytes(raw[: len(raw) // 8 * 8])
                while len(numbers) < _HEAD:
                    numbers.append(0.0)
                before = numbers.tobytes()
                yield numbers
                after = numbers.tobytes()
                if after != before or len(raw) != len(after):
                    os.pwrite(file, after, 0)
                    os.ftruncate(file, len(after))
            finally:
                os.close(file)

    def take(self, limit: int) -> float:
        now = wall_clock()
        with self._locked() as numbers:
            if numbers[0] > now:
                return min(numbers[0] - now, 3600.0)
            # The times are in order. One "from the future" was noted before the clock was set back, and no longer counts.
            first = bisect_right(numbers, now - WINDOW_SECONDS, _HEAD)
            end = bisect_right(numbers, now + 1, first)
            if end - first >= limit:
                return max(numbers[end - limit] + WINDOW_SECONDS - now, 0.01)
            numbers[_HEAD:] = numbers[first:end]
            numbers.append(max(now, numbers[-1]) if len(numbers) > _HEAD else now)
            return 0.0

    def hold(self, seconds: float) -> None:
        with self._locked() as numbers:
            numbers[0] = max(numbers[0], wall_clock() + seconds)

    def health(self) -> Health:
        with self._locked() as numbers:
            return Health(int(numbers[1]), numbers[2], numbers[0], numbers[3])

    def failed(self) -> Health:
        with self._locked() as numbers:
            numbers[1] += 1
            numbers[3] = numbers[3] or wall_clock()
            return Health(int(numbers[1]), numbers[2], numbers[0], numbers[3])

    def open(self, seconds: float) -> None:
        with self._locked() as numbers:
            numbers[2] = wall_clock() + seconds

    def claim_look(self, seconds: float) -> bool:
        now = wall_clock()
        with self._locked() as numbers:
            # One that ends later than it can have been opened for was noted before the clock was set back.
            if numbers[2] == 0.0 or now < numbers[2] <= now + seconds:
                return False
            numbers[2] = now + seconds
            return True

    def succeeded(self) -> None:
        with self._locked() as numbers:
            numbers[1] = numbers[2] = numbers[3] = 0.0


class Unreachable(Exception):
    """The shared state cannot be reached at the moment; whoever wanted it goes on without."""


@contextmanager
def shared(system: str = CHARGEBEE) -> Iterator[SiteState]:
    """The shared state of a system. Raises Unreachable; and for some seconds after, at once, so that no call waits for it twice."""
    global _unreachable_until
    if time.monotonic() < _unreachable_until:
        raise Unreachable
    try:
        yield current(system)
    except (redis.RedisError, OSError) as error:
        _unreachable_until = time.monotonic() + SECONDS_UNTIL_TRIED_AGAIN
        logger.warning("outside.shared_state_unreachable", extra={"error": type(error).__name__})
        raise Unreachable from error


_unreachable_until = 0.0
_states: dict[tuple[int, str, str, str], SiteState] = {}


def current(system: str = CHARGEBEE) -> SiteState:
    """The shared state of a system, for this process: of the configured site, or of another system that this installation calls."""
    site = settings.CHARGEBEE_SITE or settings.CHARGEBEE_API_URL
    # The process is part of the name: a forked child must not share its parent's connection to Redis.
    name = (os.getpid(), settings.REDIS_URL, system, settings.CHARGEBEE_API_URL + site)
    state = _states.get(name)
    if state is None:
        mark = hashlib.sha256(name[3].encode()).hexdigest()[:16]
        if settings.REDIS_URL:
            state = RedisState(settings.REDIS_URL, mark, system)
        else:
            Path(settings.VAR_DIR).mkdir(parents=True, exist_ok=True)
            state = FileState(Path(settings.VAR_DIR) / f"{system}-state-{mark}")
        _states[name] = state
    return state
