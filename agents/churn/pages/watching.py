"""How good the scores are: calibration, drift, the effect of interventions, and the models that are offered."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from agents import releasing
from agents.churn import queries, watching
from agents.churn.models import WatchFinding
from agents.churn.scorecard import ORIGIN
from agents.models import Release
from approvals.admin.pages import ConsoleRequest, console_page, note_refused, show
from approvals.people import Refused
from billing_ai.kernel import clock

_RELEASES_SHOWN = 12
_KINDS = {"logistic": "Logistic", "boosted": "Boosted trees", "blend": "Both, averaged"}

_SAID = {
    Release.OFFERED: "Your yes is noted. Another lead puts it live.",
    Release.LIVE: "It is live: the next score is made with it.",
    Release.RETIRED: "Retired. Without a live model the scorecard serves.",
}


@console_page
@require_GET
def watch(request: ConsoleRequest) -> HttpResponse:
    """The page."""
    now = clock.now()
    findings = list(WatchFinding.objects.order_by("kind", "name"))
    live = Release.objects.filter(agent="churn", kind="model", name="churn", status=Release.LIVE).first()
    context = {
        "alerts": [finding for finding in findings if finding.is_alert],
        "calibration": sorted(
            (finding for finding in findings if finding.kind == watching.CALIBRATION),
            key=lambda one: (one.name != watching.EVERYONE, one.name),
        ),
        "drift": sorted(
            (finding for finding in findings if finding.kind in (watching.DRIFT, watching.SCORES)),
            key=lambda one: (not one.is_alert, -(one.value or 0.0)),
        ),
        "looked_at": max((finding.looked_at for finding in findings), default=None),
        "effect": watching.effect(now),
        "counted": watching.counted(now),
        "releases": Release.objects.filter(agent="churn", kind="model").order_by("-pk")[:_RELEASES_SHOWN],
        "live": live,
        "origin": ORIGIN,
        "progress": queries.nightly_progress(),
    }
    return show(request, "console/churn_watch.html", "How good the scores are", context)


@console_page
@require_http_methods(["GET", "POST"])
def release(request: ConsoleRequest, pk: int) -> HttpResponse:
    """One model with its figures; two leads put it live, one retires it."""
    row = Release.objects.select_related("offered_by", "promoted_by").filter(pk=pk, agent="churn", kind="model").first()
    if row is None:
        raise Http404("There is no such model.")
    here = reverse("console:churn_release", args=[pk])
    if request.method == "POST":
        step, reason = request.POST.get("step", ""), request.POST.get("reason", "")
        steps: dict[str, Callable[[], Release]] = {
            "promote": lambda: releasing.promote(pk, request.user, reason=reason),
            "retire": lambda: releasing.retire(pk, request.user, reason=reason),
        }
        try:
            if step not in steps:
                raise Refused("bad_values", "Choose what to do with it.")
            after = steps[step]()
        except Refused as error:
            note_refused(request, "release", str(pk), step[:20] or "release", error.code)
            messages.error(request, error.sentence)
        else:
            messages.success(
                request,
                _SAID[after.status],
            )
        return HttpResponseRedirect(here)
    figures = row.figures
    kinds = [
        {"title": _KINDS.get(kind, kind), "is_chosen": kind == figures.get("model"), **values}
        for kind, values in figures.get("kinds", {}).items()
    ]
    if figures.get("present_scores"):
        kinds.append({"title": "The scores given at the time", "is_chosen": False, **figures["present_scores"]})
    context = {"row": row, "figures": figures, "kinds": kinds, "may": request.user.has_perm("approvals.change_rules")}
    return show(request, "console/churn_release.html", f"Model {row.version}", context)
