"""Where webhooks enter the web process: what Chargebee posts is taken before Django makes a request of it.

A session, a language, CSRF, the files of the console and a history user, the address table, signals, request and response objects cost more CPU
than the event's own row, and a webhook needs none of them. `reception.py` checks the sender itself.
`docs/adr/0030-webhooks-have-a-door-of-their-own.md` says what is left out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from django.db import connections

from billing_ai.inbox import reception

logger = logging.getLogger(__name__)
PATH = "/webhooks/chargebee/"
_Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_encode = json.JSONEncoder().encode


def with_door(others: _Wsgi) -> _Wsgi:
    """The application that takes webhooks through the door and hands everything else to `others`."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not path.startswith(PATH) or environ["REQUEST_METHOD"] != "POST":
            return others(environ, start_response)
        secret, slash, more = path[len(PATH) :].partition("/")
        if more or (secret and not slash):
            return others(environ, start_response)  # no address of the webhook
        status, document = _answer(environ, secret)
        body = _encode(document).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        if status == 401:
            headers.append(("WWW-Authenticate", reception.REALM))
        start_response(_STATUS[status], headers)
        return [body]

    return application


def _answer(environ: dict[str, Any], secret: str) -> reception.Answer:
    # As Django does at the start of each request: a connection that is old or had an error is let go.
    connections["default"].close_if_unusable_or_obsolete()
    try:
        # WSGI hands a path's bytes over as Latin-1.
        return reception.receive(environ, secret and secret.encode("latin-1", "replace").decode(errors="replace"))
    except Exception:
        # Here is the edge of the process: whatever it was, the sender is told to come again, and the log has it with its trace.
        logger.exception("webhook.failed")
        connections["default"].close()
        return reception.Answer(500, {"error": "failed", "message": "Something went wrong here. Send it again later."})
