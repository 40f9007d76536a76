"""What every page of the console shares: who may open it, the frame around it, and one way of answering."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import patch_cache_control, patch_vary_headers

from approvals.wording.reader import Reader, reader_of
from audit import ledger
from audit.actor import person
from billing_ai.integrations.chargebee import budget
from billing_ai.kernel.ids import new_trace_id

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


class ConsoleRequest(HttpRequest):
    """A request that has passed `console_page`: its user is signed in and may see cases."""

    user: User


def console_page(view: Callable[Concatenate[ConsoleRequest, P], HttpResponse]) -> View[P]:
    """Signed in through the admin's own door, allowed to see cases, never kept by a cache on the way; its reads go before all others.

    Who is refused by `PermissionDenied` is in the ledger: a middleware of the console writes it down for all pages.
    """

    @wraps(view)
    def inside(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        known = cast(ConsoleRequest, request)
        if not known.user.has_perm("approvals.view_case"):
            raise PermissionDenied("Your account may not see cases.")
        with budget.lane(budget.Lane.PEOPLE):
            response = view(known, *args, **kwargs)
        patch_cache_control(response, no_store=True, private=True)
        patch_vary_headers(response, ["Accept", "X-Console-Fragment"])
        return response

    return cast("View[P]", admin.site.admin_view(inside))


def note_refused(request: ConsoleRequest, kind: str, subject: str, order: str, code: str) -> None:
    """Someone tried what they may not do, or what could not be done any more: it changed nothing, and it is written down."""
    # A transaction of its own: that of what was refused has been rolled back.
    with transaction.atomic():
        ledger.append(
            "console.refused",
            actor=person(request.user),
            trace_id=new_trace_id(),
            subject=(kind, subject),
            data={"order": order, "code": code},
        )


def wants_fragment(request: HttpRequest) -> bool:
    """The page's own script asks for the part that changes, without the frame."""
    return request.headers.get("X-Console-Fragment") == "1"


def wants_json(request: HttpRequest) -> bool:
    """The page's own script asks for an answer that it can act on."""
    return "application/json" in request.headers.get("Accept", "")


def show(request: HttpRequest, template: str, title: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """A whole page in the admin's frame, or only its inside for the page's own script."""
    reader: Reader = reader_of(request)
    inside = {"reader": reader, "title": title, "fragment": wants_fragment(request), **context}
    if not inside["fragment"]:
        inside = {**admin.site.each_context(request), **inside}
    return TemplateResponse(request, template, inside, status=status)
