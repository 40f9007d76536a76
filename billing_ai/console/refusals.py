"""Every page of the console that a person may not open or order is refused in one place, and the ledger says who tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from approvals.admin.pages import ConsoleRequest, note_refused

_ROOMS = {"console", "admin"}


def from_a_stale_page(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's check against other sites failed: nearly always a page that is older than the last sign-in. `reason` is Django's, in English."""
    return render(request, "403_csrf.html", {"is_unknown_origin": reason.startswith("Origin checking failed")}, status=403)


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
