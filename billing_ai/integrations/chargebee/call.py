"""The discipline around each call to Chargebee: the circuit, the budget, retries where they cannot do harm, and the closed table of errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import httpx

from billing_ai.integrations import http
from billing_ai.integrations.chargebee import budget, circuit, client
from billing_ai.integrations.chargebee.errors import SETTLED_BY_A_LOOK, meaning_of
from billing_ai.kernel.errors import Away, OutsideError, Retryable, Terminal, Unknown

logger = logging.getLogger(__name__)
T = TypeVar("T")

_WAITS_BEFORE_RETRY = (0.3, 1.0)
_LONGEST_WAIT_HERE = 3.0
_LOOK_SECONDS = 5.0
sleep = time.sleep
_is_single: ContextVar[bool] = ContextVar("chargebee_single_attempt", default=False)


@contextmanager
def single_attempts() -> Iterator[None]:
    """Inside the block nothing is tried again here: for who wants to see each answer as it comes."""
    token = _is_single.set(True)
    try:
        yield
    finally:
        _is_single.reset(token)


def run(operation: str, call: Callable[[], T], *, has_effect: bool) -> T:
    """Make one call. `operation` is `resource.verb`. Raises Away, Retryable, Terminal or Unknown and nothing else of Chargebee's.

    A call without effect is made up to three times, with jitter, and waits out a short `Retry-After`; a call with an effect is made once.
    What is then still a failure that may lie with the site is Away when the site does not answer a small question either.
    """
    for wait in (*_WAITS_BEFORE_RETRY, None):
        try:
            return _once(operation, call, has_effect=has_effect)
        except Unknown as error:
            if circuit.counts(error):
                circuit.is_site_away(_site_answers)
            raise
        except Retryable as error:
            pause = _pause(error, wait)
            if has_effect or pause is None:
                if circuit.counts(error) and circuit.is_site_away(_site_answers):
                    raise Away(error.code, error.sentence, after=error.after) from error
                raise
            logger.info("chargebee.retry", extra={"operation": operation, "code": error.code, "seconds": round(pause, 2)})
            sleep(pause)
    raise AssertionError("the last round either returns or raises")


def is_away() -> bool:
    """Whether nobody may call at present. Where it is time to look whether the site is back, this looks."""
    try:
        circuit.check(_site_answers)
    except Away:
        return True
    return False


def _site_answers() -> bool:
    """The smallest question that there is to the site, asked once, past the circuit and the budget: any answer but a fault of its own will do."""
    try:
        return client.configurations(seconds=_LOOK_SECONDS).status < 500
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        logger.info("chargebee.does_not_answer", extra={"error": type(error).__name__})
        return False
    except Terminal:
        return True  # no key or no site is set: whoever calls is told so


def _pause(error: Retryable, wait: float | None) -> float | None:
    """Seconds to wait before the next round here, or None when waiting is for the caller (a long wait, or no rounds left)."""
    if wait is None or _is_single.get() or error.code in (budget.SPENT, circuit.OPEN):
        return None
    asked = error.after.total_seconds()
    if error.code in ("chargebee.api_request_limit_exceeded", "chargebee.status_429", "chargebee.rate_limited", "chargebee.lock_timeout"):
        return asked if asked <= _LONGEST_WAIT_HERE else None
    if error.code == "chargebee.site_not_ready":
        return None
    return http.jittered(wait)


def _once(operation: str, call: Callable[[], T], *, has_effect: bool) -> T:
    circuit.check(_site_answers)
    budget.take()
    try:
        with client.as_sent():
            result = call()
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        # The SDK trips over an answer of another shape while it turns it into its types.
        raise _odd_shape(operation, error, has_effect=has_effect) from error
    except Exception as error:
        meaning = meaning_of(error, operation=operation, has_effect=has_effect)
        if meaning is None:
            raise
        _note(meaning)
        logger.warning("chargebee.failed", extra={"operation": operation, "code": meaning.code})
        raise meaning from error
    circuit.note_success()
    return result


def _note(meaning: OutsideError) -> None:
    if isinstance(meaning, Retryable) and meaning.code.removeprefix("chargebee.") in (
        "api_request_limit_exceeded",
        "rate_limited",
        "status_429",
    ):
        budget.hold(meaning.after)
    if circuit.counts(meaning):
        circuit.note_failure()
    else:
        circuit.note_success()


def _odd_shape(operation: str, error: Exception, *, has_effect: bool) -> OutsideError:
    logger.warning("chargebee.odd_shape", extra={"operation": operation, "error": type(error).__name__})
    sentence = "Chargebee's answer is of a shape that cannot be read."
    if has_effect:
        return Unknown("chargebee.unreadable_answer", f"{sentence} {SETTLED_BY_A_LOOK}")
    return Retryable("chargebee.unreadable_answer", f"{sentence} It will be read again.")
