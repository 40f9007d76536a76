"""The page “Chargebee”: is the site set up so that this can work with it, and the offer to have its events sent here."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from approvals.admin.pages import ConsoleRequest, console_page, note_refused, show
from audit import ledger
from audit.actor import acting, person
from billing_ai.integrations.chargebee import set_up
from billing_ai.integrations.chargebee.setup_check import check_site, without_secret, worst_of
from billing_ai.kernel.errors import OutsideError
from billing_ai.kernel.ids import new_id, new_trace_id

_CURED_BY_REGISTERING = frozenset({"webhook.missing", "webhook.events"})


@console_page
@require_GET
def page(request: ConsoleRequest) -> HttpResponse:
    """Everything that was looked at, now."""
    url = own_webhook()
    findings = check_site(webhook_url=url)
    context = {
        "findings": findings,
        "worst": worst_of(findings).value,
        "webhook": without_secret(url),
        "offers_webhook": any(finding.code in _CURED_BY_REGISTERING for finding in findings),
        "may_register": request.user.has_perm("approvals.change_rules"),
        "order": str(new_id()),
    }
    return show(request, "console/chargebee.html", "Chargebee", context)


@console_page
@require_POST
def register_webhook(request: ConsoleRequest) -> HttpResponse:
    """Have Chargebee send its events here: by a lead, written down before and after."""
    back = HttpResponseRedirect(reverse("console:chargebee"))
    if not request.user.has_perm("approvals.change_rules"):
        note_refused(request, "webhook", "chargebee", "register_webhook", "needs_lead")
        messages.error(request, "Only a lead may have Chargebee send its events here.")
        return back
    url, trace_id, actor = own_webhook(), new_trace_id(), person(request.user)
    shown = without_secret(url)

    def note(kind: str, **data: object) -> None:
        with transaction.atomic():
            ledger.append(kind, actor=actor, trace_id=trace_id, subject=("webhook", "chargebee"), data={"url": shown, **data})

    note("webhook.ordered")
    try:
        with acting(actor, trace_id):
            made = set_up.send_events_to(url, order=request.POST.get("order", "")[:40])
    except OutsideError as error:
        note("webhook.not_registered", code=error.code)
        messages.error(request, error.sentence)
        return back
    note("webhook.registered", endpoint_id=made.endpoint_id, was_there=made.was_there)
    messages.success(request, f"Chargebee sends its events to {shown} now.")
    return back


def own_webhook() -> str:
    """The whole address of our webhook, with its secret segment where one is set."""
    secret = settings.CHARGEBEE_WEBHOOK_SECRET_PATH
    path = reverse("chargebee-webhook-secret", args=[secret]) if secret else reverse("chargebee-webhook")
    return settings.PUBLIC_URL.rstrip("/") + path
