"""The page of prompts: which version of each is live, what another says, and the buttons to offer, put live and go back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from agents import prompt_releases, releasing
from agents.models import Release
from approvals.admin.pages import ConsoleRequest, console_page, note_refused, show
from approvals.people import Refused


@console_page
@require_http_methods(["GET", "POST"])
def prompts(request: ConsoleRequest) -> HttpResponse:
    """Every prompt with its versions; a lead offers one, another puts it live, and either goes back by one click."""
    if request.method == "POST":
        form = request.POST
        agent, name, version, reason = (form.get(key, "") for key in ("agent", "name", "version", "reason"))
        steps: dict[str, tuple[Callable[[], Any], str]] = {
            "offer": (
                lambda: prompt_releases.offer(agent, name, version, request.user, reason=reason),
                "Offered. Another lead puts it live.",
            ),
            "promote": (
                lambda: releasing.promote(_pk(agent, name, version), request.user, reason=reason),
                "It is live: the next draft is written with it.",
            ),
            "back": (
                lambda: prompt_releases.go_back(agent, name, request.user, reason=reason or "Back to the version before."),
                "The version before is live again.",
            ),
        }
        step = form.get("step", "")
        try:
            if step not in steps:
                raise Refused("bad_values", "Choose what to do with it.")
            do, said = steps[step]
            do()
        except Refused as error:
            note_refused(request, "prompt", f"{agent}/{name}/{version}"[:100], step[:20] or "prompt", error.code)
            messages.error(request, error.sentence)
        else:
            messages.success(request, said)
        return HttpResponseRedirect(reverse("console:prompts"))
    rows = prompt_releases.versions()
    came_back = {(row.agent, row.name) for row in Release.objects.filter(kind="prompt", status=Release.RETIRED, live_since__isnull=False)}
    context = {
        "rows": [{"version": row, "may_go_back": row.is_live and (row.prompt.agent, row.prompt.name) in came_back} for row in rows],
        "may": request.user.has_perm("approvals.change_rules"),
    }
    return show(request, "console/prompts.html", "Prompts", context)


def _pk(agent: str, name: str, version: str) -> int:
    found = Release.objects.filter(agent=agent, kind="prompt", name=name, version=version).values_list("pk", flat=True).first()
    return found or 0
