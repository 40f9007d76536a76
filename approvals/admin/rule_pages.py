"""Changing a rule: a form of what the row holds, a reason that is kept, and one call to `rollout`, which decides whether it may be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from approvals.admin.pages import ConsoleRequest, console_page, note_refused, show
from approvals.models import Limit, Phase, Policy
from approvals.people import Refused
from approvals.policy import rollout
from approvals.wording import words


def _fields(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One input for each value of a rule, of the value's own kind."""
    found = []
    for name, value in params.items():
        kind = "flag" if isinstance(value, bool) else "number" if isinstance(value, int) else "text" if isinstance(value, str) else "json"
        shown = json.dumps(value, indent=1, ensure_ascii=False) if kind == "json" else value
        found.append({"name": f"param:{name}", "label": words.plain(name), "kind": kind, "value": shown})
    return found


def _read_params(params: Mapping[str, Any], form: QueryDict) -> dict[str, Any]:
    """The form's values in the kinds of the present ones. Raises Refused, which names the field."""
    read: dict[str, Any] = {}
    for field in _fields(params):
        name, text = field["name"].removeprefix("param:"), form.get(field["name"], "").strip()
        try:
            if field["kind"] == "flag":
                read[name] = field["name"] in form
            elif field["kind"] == "number":
                read[name] = int(text)
            elif field["kind"] == "json":
                read[name] = json.loads(text)
            else:
                read[name] = text
        except ValueError as error:
            raise Refused("bad_values", f"{field['label']} cannot be read: {error}") from error
    return read


@console_page
@require_http_methods(["GET", "POST"])
def policy(request: ConsoleRequest, key: str) -> HttpResponse:
    """New values for a rule, from a day on, or its switch."""
    row = Policy.objects.filter(key=key).first()
    if row is None:
        raise Http404("There is no such rule.")
    if request.method == "POST":
        form = request.POST

        def change() -> object:
            try:
                day = date.fromisoformat(form["effective_from"]) if form.get("effective_from") else None
            except ValueError as error:
                raise Refused("bad_values", "The day cannot be read.") from error
            return rollout.change_policy(
                key,
                request.user,
                reason=form.get("reason", ""),
                params=_read_params(row.params, form),
                is_enabled="is_enabled" in form,
                effective_from=day,
            )

        return _changed(request, change, ("policy", key), "admin:approvals_policy_changelist", reverse("console:change_policy", args=[key]))
    context = {"row": row, "fields": _fields(row.params), "kind": "policy", "back": reverse("admin:approvals_policy_changelist")}
    return show(request, "console/rule.html", row.title, {**context, "may": request.user.has_perm("approvals.change_rules")})


@console_page
@require_http_methods(["GET", "POST"])
def limit(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Another value for a limit, or none: then what it guards needs a person."""
    row = Limit.objects.filter(pk=pk).first()
    if row is None:
        raise Http404("There is no such limit.")
    if request.method == "POST":
        text = request.POST.get("value", "").strip()

        def change() -> object:
            try:
                value = int(text) if text else None
            except ValueError as error:
                raise Refused("bad_values", "A limit is a whole number.") from error
            return rollout.change_limit(row.agent, row.key, value, request.user, reason=request.POST.get("reason", ""))

        return _changed(
            request,
            change,
            ("limit", f"{row.agent}:{row.key}"),
            "admin:approvals_limit_changelist",
            reverse("console:change_limit", args=[pk]),
        )
    context = {
        "row": row,
        "kind": "limit",
        "back": reverse("admin:approvals_limit_changelist"),
        "may": request.user.has_perm("approvals.change_rules"),
    }
    return show(request, "console/rule.html", f"{words.plain(row.agent)}: {words.plain(row.key)}", context)


@console_page
@require_http_methods(["GET", "POST"])
def phase(request: ConsoleRequest, pk: int) -> HttpResponse:
    """How far the machine may go for a segment. `automate` is asked for by one lead and confirmed by another."""
    row = Phase.objects.select_related("requested_by").filter(pk=pk).first()
    if row is None:
        raise Http404("There is no such segment.")
    if request.method == "POST":
        form = request.POST

        def change() -> object:
            reason = form.get("reason", "")
            if form.get("step") == "confirm":
                return rollout.confirm_phase(row.agent, row.segment, request.user, reason=reason)
            return rollout.request_phase(row.agent, row.segment, form.get("phase", ""), request.user, reason=reason)

        return _changed(
            request,
            change,
            ("phase", f"{row.agent}:{row.segment}"),
            "admin:approvals_phase_changelist",
            reverse("console:change_phase", args=[pk]),
        )
    context = {
        "row": row,
        "kind": "phase",
        "phases": words.PHASES,
        "back": reverse("admin:approvals_phase_changelist"),
        "may": request.user.has_perm("approvals.change_rules"),
        "may_confirm": row.requested_phase and row.requested_by_id != request.user.pk,
    }
    return show(request, "console/rule.html", f"{words.plain(row.agent)}: {words.plain(row.segment)}", context)


def _changed(request: ConsoleRequest, change: Callable[[], object], subject: tuple[str, str], onward: str, again: str) -> HttpResponse:
    try:
        change()
    except Refused as error:
        note_refused(request, *subject, "change_rule", error.code)
        messages.error(request, error.sentence)
        return HttpResponseRedirect(again)
    messages.success(request, "Changed. The history keeps what it was before, and your reason.")
    return HttpResponseRedirect(reverse(onward))
