"""Changing a rule: a form of what the row holds, a reason that is kept, and one call to `rollout`, which decides whether it may be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import Http404, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from approvals.admin.pages import ConsoleRequest, console_page, note_refused, show
from approvals.models import KillSwitch, Limit, Phase, Policy
from approvals.people import Refused
from approvals.policy import limits, rollout, what_if
from approvals.policy.rules import EVERYTHING
from approvals.wording import words
from billing_ai.kernel import clock


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


def _as_given(fields: list[dict[str, Any]], form: QueryDict) -> list[dict[str, Any]]:
    """The fields with what was typed into them, so that trying loses nothing."""
    return [field | {"value": field["name"] in form if field["kind"] == "flag" else form.get(field["name"], "")} for field in fields]


@console_page
@require_http_methods(["GET", "POST"])
def policy(request: ConsoleRequest, key: str) -> HttpResponse:
    """New values for a rule, from a day on, or its switch; first tried on what was sent and charged in the last days."""
    row = Policy.objects.filter(key=key).first()
    if row is None:
        raise Http404("There is no such rule.")
    form = request.POST
    context = {"row": row, "fields": _fields(row.params), "kind": "policy", "back": reverse("admin:approvals_policy_changelist")}
    context |= {"is_enabled": row.is_enabled, "may_try": key.startswith(("contact.", "retry.")) or key == "reference_rates"}
    if request.method == "POST" and form.get("step") == "try":
        context |= {"fields": _as_given(_fields(row.params), form), "is_enabled": "is_enabled" in form}
        context |= _tried(
            request, lambda: what_if.policy(key, now=clock.now(), params=_read_params(row.params, form), is_enabled="is_enabled" in form)
        )
    elif request.method == "POST":

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
    return _page(request, row.title, context)


@console_page
@require_http_methods(["GET", "POST"])
def limit(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Another value for a limit, or none: then what it guards needs a person."""
    row = Limit.objects.filter(pk=pk).first()
    if row is None:
        raise Http404("There is no such limit.")
    form = request.POST
    context = {"row": row, "kind": "limit", "back": reverse("admin:approvals_limit_changelist"), "value": row.value}
    context |= {"may_try": row.key in what_if.AMOUNTS, "says": limits.KEYS.get(row.key.partition(".")[0], "")}
    if request.method == "POST" and form.get("step") == "try":
        context |= {"value": form.get("value", "")}
        context |= _tried(request, lambda: what_if.limit(row.agent, row.key, _whole(form.get("value", "")) or 0, now=clock.now()))
    elif request.method == "POST":

        def change() -> object:
            return rollout.change_limit(row.agent, row.key, _whole(form.get("value", "")), request.user, reason=form.get("reason", ""))

        subject = ("limit", f"{row.agent}:{row.key}")
        return _changed(request, change, subject, "admin:approvals_limit_changelist", reverse("console:change_limit", args=[pk]))
    return _page(request, f"{words.plain(row.agent)}: {words.plain(row.key)}", context)


@console_page
@require_http_methods(["GET", "POST"])
def new_limit(request: ConsoleRequest) -> HttpResponse:
    """A limit that is not set yet: one colleague's own, or one currency's own day."""
    if request.method == "POST":
        form = request.POST
        agent, key = form.get("agent", ""), form.get("key", "") + (f".{form['of'].strip()}" if form.get("of", "").strip() else "")

        def change() -> object:
            if agent not in _agents():
                raise Refused("no_such_agent", f"Choose one of: {', '.join(_agents())}.")
            return rollout.change_limit(agent, key, _whole(form.get("value", "")), request.user, reason=form.get("reason", ""))

        return _changed(request, change, ("limit", f"{agent}:{key}"), "admin:approvals_limit_changelist", reverse("console:new_limit"))
    context = {"kind": "new_limit", "back": reverse("admin:approvals_limit_changelist"), "agents": _agents(), "keys": limits.KEYS}
    return _page(request, "Set a limit", context)


@console_page
@require_http_methods(["GET", "POST"])
def phase(request: ConsoleRequest, pk: int) -> HttpResponse:
    """How far the machine may go for a segment. `automate` is asked for by one lead and confirmed by another."""
    row = Phase.objects.select_related("requested_by", "changed_by", "model_words_requested_by").filter(pk=pk).first()
    if row is None:
        raise Http404("There is no such segment.")
    form = request.POST
    context = {
        "row": row,
        "kind": "phase",
        "phases": words.PHASES,
        "back": reverse("admin:approvals_phase_changelist"),
        "may_confirm": row.requested_phase and row.requested_by_id != request.user.pk,
        "may_confirm_model_words": row.model_words_requested_by_id != request.user.pk,
        "may_try": True,
    }
    if request.method == "POST" and form.get("step") == "try":
        context |= _tried(request, lambda: what_if.phase(row.agent, row.segment, now=clock.now()))
    elif request.method == "POST" and form.get("step") == "try_model_words":
        context |= _tried(request, lambda: what_if.phase(row.agent, row.segment, now=clock.now(), model_words=True))
    elif request.method == "POST":

        def change() -> object:
            reason = form.get("reason", "")
            if form.get("step") == "confirm":
                return rollout.confirm_phase(row.agent, row.segment, request.user, reason=reason)
            if form.get("step") == "confirm_model_words":
                return rollout.confirm_model_words(row.agent, row.segment, request.user, reason=reason)
            if form.get("step") in ("model_words", "only_built_in"):
                return rollout.request_model_words(row.agent, row.segment, form["step"] == "model_words", request.user, reason=reason)
            return rollout.request_phase(row.agent, row.segment, form.get("phase", ""), request.user, reason=reason)

        subject = ("phase", f"{row.agent}:{row.segment}")
        return _changed(request, change, subject, "admin:approvals_phase_changelist", reverse("console:change_phase", args=[pk]))
    return _page(request, f"{words.plain(row.agent)}: {words.plain(row.segment)}", context)


def _page(request: ConsoleRequest, title: str, context: dict[str, Any]) -> HttpResponse:
    return show(request, "console/rule.html", title, {**context, "may": request.user.has_perm("approvals.change_rules")})


def _agents() -> list[str]:
    """The agents that have a switch of their own."""
    return [scope for scope in KillSwitch.objects.order_by("scope").values_list("scope", flat=True) if scope != EVERYTHING]


def one_trial_at_a_time(user: User, ask: Callable[[], what_if.WhatIf]) -> what_if.WhatIf:
    """Whoever may look may try: it changes nothing, but it takes seconds of a web process, so nobody has two under way. Raises Refused."""
    key = f"trying-a-rule:{user.pk}"
    if not cache.add(key, "under way", timeout=2 * what_if.LONGEST_SECONDS):
        raise Refused("one_at_a_time", "You are trying a rule already; wait for its answer.")
    try:
        return ask()
    finally:
        cache.delete(key)


def _tried(request: ConsoleRequest, ask: Callable[[], what_if.WhatIf]) -> dict[str, Any]:
    """What the change would have done, or why that cannot be said. Nothing is changed."""
    try:
        return {"tried": one_trial_at_a_time(request.user, ask)}
    except Refused as error:
        return {"not_tried": error.sentence}
    except ValueError as error:
        return {"not_tried": f"{error}"}


def _whole(text: str) -> int | None:
    """A whole number, or None for an empty field. Raises Refused."""
    try:
        return int(text.strip()) if text.strip() else None
    except ValueError as error:
        raise Refused("bad_values", "A limit is a whole number.") from error


def _changed(request: ConsoleRequest, change: Callable[[], object], subject: tuple[str, str], onward: str, again: str) -> HttpResponse:
    try:
        change()
    except Refused as error:
        note_refused(request, *subject, "change_rule", error.code)
        messages.error(request, error.sentence)
        return HttpResponseRedirect(again)
    messages.success(request, "Changed. The history keeps what it was before, and your reason.")
    return HttpResponseRedirect(reverse(onward))
