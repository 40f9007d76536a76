"""One way to call a vendor's JSON API over the pooled client, so that each vendor's folder only says what is its own."""

from __future__ import annotations

import base64
import json as json_module
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from billing_ai.integrations import http
from billing_ai.integrations.http import Answer
from billing_ai.kernel.errors import OutsideError, Retryable, Unknown

logger = logging.getLogger(__name__)
Refine = Callable[[Answer, Any, bool], OutsideError | None]
"""A vendor's own reading of an answer outside 2xx: (answer, its JSON or None, has_effect) → the error, or None to let the status decide."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A 2xx answer with its JSON; None when it has no body."""

    status: int
    headers: httpx.Headers
    content: Any


def _status_decides(_answer: Answer, _content: Any, _has_effect: bool) -> OutsideError | None:
    return None


@dataclass(frozen=True, slots=True)
class RestVendor:
    """A vendor: its key in error codes, its name as people say it, how we show who we are, and what its errors mean."""

    vendor: str
    label: str
    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    refine: Refine = _status_decides
    renew: Callable[[Mapping[str, str]], Mapping[str, str]] | None = field(default=None, repr=False)
    """Headers in place of those that got a 401, where a log-in runs out. Whoever is refused by 401 has had no effect, so the call is made again, once."""

    def call(
        self,
        method: str,
        path: str,
        *,
        has_effect: bool,
        params: Mapping[str, Any] | None = None,
        form: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One call. Raises Retryable, Terminal, Unknown and nothing else of the vendor's."""

        def exchange(credentials: Mapping[str, str]) -> Answer:
            try:
                sent = {**credentials, **(headers or {})}
                return http.exchange(method, self.base_url + path, headers=sent, params=params, form=form, json=json)
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                raise http.transport_error(error, vendor=self.vendor, label=self.label, has_effect=has_effect) from error

        answer = exchange(self.headers)
        if answer.status == 401 and self.renew is not None:
            answer = exchange(self.renew(self.headers))
        content = _json(answer.body)
        if not answer.is_success:
            meaning = self.refine(answer, content, has_effect) or http.status_error(
                answer, vendor=self.vendor, label=self.label, has_effect=has_effect
            )
            logger.warning("outside.failed", extra={"vendor": self.vendor, "code": meaning.code, "status": answer.status})
            raise meaning
        if content is None and answer.body.strip():
            raise self.unreadable(has_effect=has_effect)
        return Reply(answer.status, answer.headers, content)

    def unreadable(self, *, has_effect: bool) -> OutsideError:
        """The vendor said that it went well, and its answer makes no sense."""
        code, sentence = f"{self.vendor}.unreadable_answer", f"{self.label} said that it went well, but its answer cannot be read."
        if has_effect:
            return Unknown(code, f"{sentence} It may have been carried out; it has to be looked up.")
        return Retryable(code, f"{sentence} It will be read again.")


def basic_auth(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _json(body: bytes) -> Any:
    try:
        return json_module.loads(body) if body.strip() else None
    except (ValueError, RecursionError):
        return None


def entry(content: Any, *path: str | int) -> Any:
    """What lies at a path in an answer, or None where the answer has another shape."""
    for step in path:
        if isinstance(step, int):
            content = content[step] if isinstance(content, list) and -len(content) <= step < len(content) else None
        else:
            content = content.get(step) if isinstance(content, Mapping) else None
    return content


def iso_moment(value: Any) -> datetime | None:
    """An instant from ISO 8601 with a zone, or None."""
    try:
        moment = datetime.fromisoformat(value.replace("+0000", "+00:00")) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo else None
