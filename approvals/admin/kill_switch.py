"""The switch that stops everything going out, for leads, with a reason."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from approvals.admin.pages import ConsoleRequest, console_page, note_refused
from approvals.people import Refused
from approvals.policy import rollout


@console_page
@require_POST
def switch(request: ConsoleRequest) -> HttpResponse:
    """Turn a switch on or off: `scope` is `all` or an agent's name."""
    scope, turn_on = request.POST.get("scope", "all")[:40], request.POST.get("turn") == "on"
    try:
        rollout.set_kill_switch(scope, turn_on, request.user, reason=request.POST.get("reason", "").strip())
    except Refused as error:
        note_refused(request, "kill_switch", scope, "kill_switch", error.code)
        messages.error(request, error.sentence)
    else:
        messages.success(request, "Nothing goes out any more." if turn_on else "What was approved goes out again.")
    return HttpResponseRedirect(reverse("admin:index"))
