"""Every page of the console that a person may not open or order is refused in one place, and the ledger says who tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from approvals.admin.pages import ConsoleRequest, note_refused

_ROOMS = {"console", "admin"}


class NoteRefusals:
    """A page of Django's own admin raises the same error as ours, and is written down the same way.

    Whoever is not signed in is sent to the door instead, and leaves no entry: nobody's guesses may fill the ledger.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Write it down; the answer is Django's."""
        match = request.resolver_match
        if (
            isinstance(exception, PermissionDenied)
            and match is not None
            and _ROOMS & set(match.namespaces)
            and request.user.is_authenticated
        ):
            note_refused(cast(ConsoleRequest, request), "page", request.path[:200], f"{request.method} page", "not_allowed")
