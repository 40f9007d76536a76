"""What a lead may change about the scores: health weights with a preview, where bands begin, the hold-out, and the rules of intervention."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from agents.churn import interventions, knobs
from agents.churn.models import ChurnScore, ChurnSetting, HealthWeighting, InterventionRule
from agents.churn.scorecard import HealthWeights, blend_health
from approvals.admin.pages import ConsoleRequest, console_page, note_refused, show
from approvals.people import Refused
from billing_ai.kernel import clock

_PREVIEWED = 2_000
_STEPS = (0, 20, 40, 60, 80, 100)


def _changed(request: ConsoleRequest, change: Callable[[], object], subject: tuple[str, str], onward: str) -> HttpResponse:
    try:
        change()
    except Refused as error:
        note_refused(request, *subject, "change_rule", error.code)
        messages.error(request, error.sentence)
    else:
        messages.success(request, "Changed. The history keeps what it was before, and your reason.")
    return HttpResponseRedirect(reverse(onward))


@console_page
@require_http_methods(["GET", "POST"])
def health(request: ConsoleRequest) -> HttpResponse:
    """The weights in force, other ones tried on the customers as they are, and the change itself."""
    today = clock.utc_date(clock.now())
    now = knobs.weights_on(today)
    if request.method == "POST":
        form = request.POST

        def change() -> object:
            weights = _weights(form)
            try:
                day = date.fromisoformat(form["effective_from"]) if form.get("effective_from") else None
            except ValueError as error:
                raise Refused("bad_values", "The day cannot be read.") from error
            return knobs.change_weights(
                request.user, billing=weights.billing, support=weights.support, product=weights.product, reason=form.get("reason", ""), effective_from=day
            )  # fmt: skip

        return _changed(request, change, ("churn", "health"), "console:churn_health")
    tried, trouble = now, ""
    if "billing" in request.GET:
        try:
            tried = _weights(request.GET)
        except Refused as error:
            trouble = error.sentence
    context = {
        "now": now,
        "tried": tried,
        "trouble": trouble,
        "preview": _preview(now, tried),
        "rows": HealthWeighting.objects.select_related("changed_by").order_by("-effective_from", "-pk")[:10],
        "may": request.user.has_perm("approvals.change_rules"),
    }
    return show(request, "console/churn_health.html", "Health weights", context)


def _weights(form: Any) -> HealthWeights:
    try:
        return HealthWeights(*(float(form.get(name, "")) for name in ("billing", "support", "product")))
    except ValueError as error:
        raise Refused("bad_values", f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


def _preview(now: HealthWeights, tried: HealthWeights) -> dict[str, Any]:
    """How the health of customers would be spread, from the parts as they stand; at most _PREVIEWED of them, spread evenly."""
    rows = ChurnScore.objects.filter(is_active=True)
    step = max(1, rows.count() // _PREVIEWED)
    parts = np.array(
        list(rows.order_by("pk").values_list("health_billing", "health_support", "health_product")[::step][:_PREVIEWED]), dtype=np.float64
    ).reshape(-1, 3)
    if not len(parts):
        return {}
    before, after = blend_health(parts, now), blend_health(parts, tried)
    both = ~np.isnan(before) & ~np.isnan(after)
    spread = []
    for low, high in pairwise(_STEPS):
        inside = [(values >= low) & ((values < high) | (high == _STEPS[-1])) for values in (before, after)]
        spread.append({"label": f"{low}–{high}", "before": int(inside[0].sum()), "after": int(inside[1].sum())})
    moved = np.abs(after - before)[both]
    return {
        "customers": len(parts),
        "spread": spread,
        "mean_before": round(float(np.nanmean(before)), 1) if both.any() else None,
        "mean_after": round(float(np.nanmean(after)), 1) if both.any() else None,
        "moved_by_ten": int((moved >= 10).sum()),
        "unknown": int(np.isnan(after).sum()),
    }


@console_page
@require_http_methods(["GET", "POST"])
def settings_page(request: ConsoleRequest) -> HttpResponse:
    """Where the bands begin, the share held out, the base rate and the hour of the night."""
    if request.method == "POST":
        form, key = request.POST, request.POST.get("key", "")

        def change() -> object:
            return knobs.change_setting(request.user, key, _setting(key, form), reason=form.get("reason", ""))

        return _changed(request, change, ("churn", key[:40]), "console:churn_settings")
    values = {**knobs.DEFAULTS, **dict(ChurnSetting.objects.values_list("key", "value"))}
    context = {
        "values": values,
        "rows": {row.key: row for row in ChurnSetting.objects.select_related("changed_by")},
        "may": request.user.has_perm("approvals.change_rules"),
    }
    return show(request, "console/churn_settings.html", "Bands and hold-out", context)


def _setting(key: str, form: Any) -> Any:
    try:
        if key == "bands":
            return {name: float(form.get(name, "")) / 100 for name in ("medium", "high", "critical")}
        if key == "hold_out":
            return {"share": float(form.get("share", "")) / 100, "salt": form.get("salt", "").strip()[:40]}
        if key == "monthly_churn":
            return float(form.get("value", "")) / 100
        return int(form.get("value", ""))
    except ValueError as error:
        raise Refused("bad_values", "These values cannot be read.") from error


@console_page
@require_GET
def rules(request: ConsoleRequest) -> HttpResponse:
    """The rules in the order in which they are looked at."""
    context = {
        "rows": [
            {
                "rule": row,
                "action": interventions.ACTIONS.get(row.action, row.action),
                "change": interventions.CHANGES.get(row.change, row.change),
            }
            for row in InterventionRule.objects.order_by("-is_enabled", "rank", "key")
        ],
        "may": request.user.has_perm("approvals.change_rules"),
    }
    return show(request, "console/churn_rules.html", "Interventions", context)


@console_page
@require_http_methods(["GET", "POST"])
def rule(request: ConsoleRequest, key: str) -> HttpResponse:
    """One rule; `new` is a form for another one."""
    row = InterventionRule.objects.select_related("changed_by").filter(key=key).first()
    if row is None and key != "new":
        raise Http404("There is no such rule.")
    if request.method == "POST":
        form = request.POST

        def change() -> object:
            name = key if row is not None else form.get("key", "").strip()
            if row is None and InterventionRule.objects.filter(key=name).exists():
                raise Refused("bad_values", "There is a rule of this key already.")
            return interventions.change_rule(request.user, name, _rule_values(form), reason=form.get("reason", ""))

        return _changed(request, change, ("churn", key[:40]), "console:churn_rules")
    shown = row or InterventionRule(key="", title="", bands=["high"], action="crm_task", params={"subject": "", "due_in_days": 5})
    context = {
        "row": row,
        "shown": shown,
        "params": json.dumps(shown.params, indent=1, ensure_ascii=False),
        "bands": ChurnScore.BANDS,
        "actions": interventions.ACTIONS,
        "changes": interventions.CHANGES,
        "history": row.history.select_related("history_user").order_by("-history_date", "-history_id")[:10] if row is not None else [],
        "may": request.user.has_perm("approvals.change_rules"),
    }
    return show(request, "console/churn_rule.html", shown.title or "A new rule", context)


def _rule_values(form: Any) -> dict[str, Any]:
    try:
        params = json.loads(form.get("params", "") or "{}")
        cool_down, rank = int(form.get("cool_down_days", "")), int(form.get("rank", ""))
    except ValueError as error:
        raise Refused("bad_values", f"These values cannot be read: {error}.") from error
    return {
        "title": form.get("title", "").strip(),
        "bands": [band for band in ChurnScore.BANDS if band in form.getlist("bands")],
        "segments": [one.strip() for one in form.get("segments", "").split(",") if one.strip()],
        "change": form.get("change", ""),
        "action": form.get("action", ""),
        "params": params,
        "cool_down_days": cool_down,
        "rank": rank,
        "is_enabled": "is_enabled" in form,
    }
