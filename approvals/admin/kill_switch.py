"""The switch that stops everything going out, for leads, with a reason."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Q
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from approvals.actions import ACTIONS
from approvals.admin.pages import ConsoleRequest, console_page, note_refused
from approvals.models import Execution
from approvals.people import Refused
from approvals.policy import rollout
from approvals.policy.rules import EVERYTHING
from billing_ai.work import claims

_MOST_SHOWN = 20


def on_the_wire(scope: str) -> list[Execution]:
    """The calls that had begun before the switch was turned: they finish, and nothing follows them."""
    makes_pages = Q(status=Execution.LEASED, settle_after__isnull=False, lease_until__gte=claims.db_now())
    begun = Execution.objects.filter(Q(status=Execution.EXECUTING) | makes_pages).select_related("proposal").order_by("first_sent_at", "pk")
    return list((begun if scope == EVERYTHING else begun.filter(proposal__agent=scope))[:_MOST_SHOWN])


def _said(begun: list[Execution]) -> str:
    if not begun:
        return "No call is on the wire."
    named = "; ".join(f"{_label(one)}, invoice {one.proposal.chargebee_invoice_id or '–'}" for one in begun)
    return f"On the wire, and still to finish: {len(begun)}{' or more' if len(begun) == _MOST_SHOWN else ''} ({named})."


def _label(begun: Execution) -> str:
    if begun.status == Execution.LEASED:
        return "Payment pages for a message that will not be sent"
    return ACTIONS[begun.action].label if begun.action in ACTIONS else begun.action


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
        messages.success(
            request, f"Nothing goes out any more. {_said(on_the_wire(scope))}" if turn_on else "What was approved goes out again."
        )
    return HttpResponseRedirect(reverse("admin:index"))
