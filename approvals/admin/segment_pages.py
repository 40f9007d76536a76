"""Whom a segment takes in, and how much of it people see: a form, tried on past cases before it counts."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from approvals.admin.pages import ConsoleRequest, console_page, note_refused, show
from approvals.admin.rule_pages import one_trial_at_a_time
from approvals.models import KillSwitch, Phase
from approvals.people import Refused
from approvals.policy import rollout, what_if
from approvals.policy.phase_rules import LIST_KEYS
from approvals.policy.rules import EVERYTHING
from approvals.wording import words
from billing_ai.kernel import clock


@console_page
@require_http_methods(["GET", "POST"])
def segment(request: ConsoleRequest, pk: int | None = None) -> HttpResponse:
    """A segment, new (it begins as `assist`) or already there. One that takes in more while it is automated goes back to `assist`."""
    row = Phase.objects.filter(pk=pk).first() if pk is not None else None
    if pk is not None and row is None:
        raise Http404("There is no such segment.")
    agents = [scope for scope in KillSwitch.objects.order_by("scope").values_list("scope", flat=True) if scope != EVERYTHING]
    form = request.POST
    context: dict[str, Any] = {"row": row, "agents": agents, "keys": LIST_KEYS, "back": reverse("admin:approvals_phase_changelist")}
    context |= {"may": request.user.has_perm("approvals.change_rules"), "given": _given(row, form), "reason": form.get("reason", "")}
    if request.method == "POST":
        agent = row.agent if row is not None else form.get("agent", "")
        name = row.segment if row is not None else form.get("segment", "").strip()
        try:
            if agent not in agents or not 0 < len(name) <= 60:
                raise Refused("bad_values", f"Name the segment, and one of the agents: {', '.join(agents)}.")
            if row is None and Phase.objects.filter(agent=agent, segment=name).exists():
                raise Refused("name_taken", "This agent has a segment of that name already.")
            match, rank, sample = _read(form)
            if form.get("step") == "try":
                context["tried"] = one_trial_at_a_time(
                    request.user, lambda: what_if.segment(agent, name, match, rank=rank, sample_percent=sample, now=clock.now())
                )
            else:
                rollout.change_segment(
                    agent, name, request.user, reason=form.get("reason", ""), match=match, rank=rank, sample_percent=sample
                )
                messages.success(request, "Changed. The history keeps what it was before, and your reason.")
                return HttpResponseRedirect(context["back"])
        except Refused as error:
            note_refused(request, "phase", f"{agent}:{name}"[:200], "change_segment", error.code)
            context["problem"] = error.sentence
    title = f"{words.plain(row.agent)}: {words.plain(row.segment)}" if row is not None else "New segment"
    return show(request, "console/segment.html", title, context, status=400 if "problem" in context else 200)


def _given(row: Phase | None, form: QueryDict) -> dict[str, str]:
    """What the form shows: what was typed, else what the row holds."""
    names = ("agent", "segment", "rank", "sample_percent", "amount_max", *LIST_KEYS)
    if form:
        return {name: form.get(name, "") for name in names}
    if row is None:
        return {"rank": "100", "sample_percent": "10"}
    lists = {name: ", ".join(map(str, row.match.get(name, ()))) for name in LIST_KEYS}
    return {
        "rank": str(row.rank),
        "sample_percent": str(row.sample_to_people_percent),
        "amount_max": str(row.match.get("amount_max", "")),
        **lists,
    }


def _read(form: QueryDict) -> tuple[dict[str, Any], int, int]:
    """The conditions, the rank and the share for people. Raises Refused."""
    match: dict[str, Any] = {}
    for name in LIST_KEYS:
        values = [part.strip() for part in form.get(name, "").split(",") if part.strip()]
        if values:
            match[name] = [value.upper() for value in values] if name in ("country", "currency") else values
    try:
        largest = form.get("amount_max", "").strip()
        if largest:
            match["amount_max"] = int(largest)
        rank, sample = int(form.get("rank", "")), int(form.get("sample_percent", ""))
    except ValueError as error:
        raise Refused("bad_values", "Amount, rank and share are whole numbers.") from error
    if not 0 <= rank <= 1_000:
        raise Refused("bad_values", "The rank is between 0 and 1,000.")
    return match, rank, sample
