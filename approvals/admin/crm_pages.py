"""Which of our values go into which field of the CRM: one page, one row a value, changed by leads with a reason. `crm_fields` decides."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from approvals import crm_fields
from approvals.admin.pages import ConsoleRequest, console_page, note_refused, show
from approvals.models import CrmField
from approvals.people import Refused

_NAMES = {"salesforce": "Salesforce", "hubspot": "HubSpot"}


@console_page
@require_http_methods(["GET", "POST"])
def fields(request: ConsoleRequest) -> HttpResponse:
    """The mapping as it holds, for each CRM; one change at a time."""
    if request.method == "POST":
        form = request.POST
        system, ours = form.get("system", "")[:20], form.get("ours", "")[:40]
        try:
            crm_fields.change_field(
                system, ours, request.user, theirs=form.get("theirs", ""), is_enabled="is_enabled" in form, reason=form.get("reason", "")
            )
        except Refused as error:
            note_refused(request, "crm_field", f"{system}:{ours}", "change_crm_field", error.code)
            messages.error(request, error.sentence)
        else:
            messages.success(request, "Changed. A push that was approved with the fields as they were will not go out.")
        return HttpResponseRedirect(reverse("console:crm_fields"))
    held = {(row.system, row.ours): row for row in CrmField.objects.select_related("changed_by")}
    named = crm_fields.mapping(crm_fields.SYSTEMS)
    systems = [
        {
            "key": system,
            "name": _NAMES[system],
            "is_set_up": system in crm_fields.set_up(),
            "rows": [
                {
                    "ours": ours,
                    "words": words,
                    "row": held.get((system, ours)),
                    "theirs": held[system, ours].theirs if (system, ours) in held else named[system][ours],
                    "is_enabled": ours in named[system],
                }
                for ours, words in crm_fields.VALUES.items()
            ],
        }
        for system in crm_fields.SYSTEMS
    ]
    may = request.user.has_perm("approvals.change_rules")
    return show(request, "console/crm_fields.html", "Fields of the CRM", {"systems": systems, "may": may})
