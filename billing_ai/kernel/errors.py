"""The ways in which something outside can go wrong, and the sentence a person reads about it.

Adapters translate a vendor's errors into these through a closed table; nothing above an adapter knows a vendor's error.
"""

from __future__ import annotations

from datetime import timedelta


class OutsideError(Exception):
    """A call to another system did not end well.

    `code` is a stable key (`chargebee.rate_limited`), `sentence` is for the person who has to decide.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence


class Retryable(OutsideError):
    """Nothing happened; the same call may be made again, not before `after`."""

    def __init__(self, code: str, sentence: str, after: timedelta = timedelta(seconds=30)) -> None:
        super().__init__(code, sentence)
        self.after = after


class Away(Retryable):
    """The other system as a whole cannot be asked now, or we may not ask it now: that says nothing of this call.

    Whoever tries again does not count it as an attempt. A call that fails by itself is a plain Retryable.
    """

    @property
    def system(self) -> str:
        """Its key, with which every code of its begins: `chargebee`, `mail` …"""
        return self.code.partition(".")[0]


class Terminal(OutsideError):
    """Nothing happened, and the same call will not do better. `declined` marks a finished answer (a payment decline)."""

    def __init__(self, code: str, sentence: str, *, declined: bool = False) -> None:
        super().__init__(code, sentence)
        self.declined = declined


class Unknown(OutsideError):
    """It may have happened. Only a look-up in the other system, or a person, may settle it."""


class StaleFacts(Exception):
    """Facts that a decision needs are missing or older than they may be; fetch them again."""
