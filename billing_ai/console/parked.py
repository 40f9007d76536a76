"""What the machine could not finish by itself: events, runs and calls that a person replays, settles or drops."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from approvals.admin.pages import ConsoleRequest, console_page, note_refused, show
from approvals.people import Refused
from billing_ai.console import parked_work
from billing_ai.console.figures import parked_queries
from billing_ai.work.models import Leased

_SHOWN = 50


@console_page
@require_GET
def parked(request: ConsoleRequest) -> HttpResponse:
    """The newest of each kind, with why it stopped."""
    queries = parked_queries()
    context: dict[str, Any] = {
        "events": list(queries["event"].order_by("-id")[:_SHOWN]),
        "runs": list(queries["run"].order_by("-created_at")[:_SHOWN]),
        "executions": list(queries["execution"].select_related("proposal").order_by("-id")[:_SHOWN]),
        "told": [
            (kind, row)
            for kind, room in parked_work.TOLD.items()
            for row in room._default_manager.filter(status=Leased.PARKED).order_by("-id")[:_SHOWN]
        ],
        "may_work": request.user.has_perm("approvals.work_case"),
        "shown": _SHOWN,
    }
    return show(request, "console/parked.html", "Parked", context)


@console_page
@require_POST
def decide(request: ConsoleRequest, kind: str, pk: str) -> HttpResponse:
    """Replay it, correct what it is about, or drop it, with a note."""
    what, note = request.POST.get("what", ""), request.POST.get("note", "").strip()
    try:
        said = parked_work.decide(
            kind, pk, request.user, what, note, {name: request.POST.get(name, "") for name in ("customer_id", "invoice_id")}
        )
    except Refused as error:
        note_refused(request, kind[:40], pk[:80], f"{what[:20]}_parked", error.code)
        messages.error(request, error.sentence)
    else:
        messages.success(request, said)
    return HttpResponseRedirect(reverse("console:parked"))
