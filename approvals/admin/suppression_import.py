"""A list of customers who are not to be contacted, uploaded by a lead: all of it, or with the lines that are wrong, none of it."""

from __future__ import annotations

from datetime import date

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse

from approvals.admin.pages import ConsoleRequest, console_page, show
from approvals.models import Suppression
from approvals.policy import consent
from audit import ledger
from audit.actor import person
from billing_ai.kernel import clock
from billing_ai.kernel.ids import new_trace_id
from billing_ai.tables.csv_files import BadFile, read_rows

COLUMNS = ("customer_id", "channel", "kind", "until", "reason")
CHANNELS = ("", *consent.CHANNELS)
MOST = 20_000
"""Lines in one list."""


@console_page
def upload(request: ConsoleRequest) -> HttpResponse:
    """Show the form; on POST read the file, check every line, and add what is new."""
    if not request.user.has_perm("approvals.lead_case"):
        raise PermissionDenied("Importing a list of suppressions is for leads.")
    problems: list[str] = []
    if request.method == "POST":
        given = request.FILES.get("list")
        try:
            found = _parse(given.read() if given else b"")
            added = _add(found, request)
            messages.success(request, f"{added} added; {len(found) - added} were on the list already.")
            return HttpResponseRedirect(reverse("admin:approvals_suppression_changelist"))
        except BadFile as error:
            problems = str(error).split("\n")
    context = {"problems": problems, "columns": COLUMNS, "kinds": consent.KINDS, "back": reverse("admin:approvals_suppression_changelist")}
    return show(request, "console/import.html", "Import a do-not-contact list", context, status=400 if problems else 200)


def _parse(content: bytes) -> list[Suppression]:
    rows = read_rows(content, COLUMNS)
    if not rows:
        raise BadFile("There is no line under the first one.")
    if len(rows) > MOST:
        raise BadFile(f"{len(rows)} lines are too many for one list; split it at {MOST}.")
    problems: list[str] = []
    found: list[Suppression] = []
    for number, row in enumerate(rows, start=2):
        customer, channel = row.get("customer_id", ""), row.get("channel", "").lower()
        kind, until = row.get("kind", "").lower() or "do_not_contact", row.get("until", "")
        if not customer or len(customer) > 100:
            problems.append(f"Line {number}: a customer id is missing or longer than 100 characters.")
        elif "@" in customer:
            problems.append(f"Line {number}: this is an e-mail address; write the Chargebee customer id.")
        elif channel not in CHANNELS:
            problems.append(f"Line {number}: “{channel[:20]}” is no channel; write email, sms, call or nothing.")
        elif kind not in consent.KINDS:
            problems.append(f"Line {number}: “{kind[:20]}” is no kind; write one of {', '.join(consent.KINDS)}.")
        else:
            try:
                until_on = date.fromisoformat(until) if until else None
            except ValueError:
                problems.append(f"Line {number}: “{until[:20]}” is no date; write 2026-12-31 or nothing.")
                continue
            found.append(
                Suppression(
                    chargebee_customer_id=customer, channel=channel, kind=kind, until_on=until_on, reason=row.get("reason", "")[:500]
                )
            )
    if problems:
        raise BadFile("\n".join([f"Nothing was imported; {len(problems)} line(s) have to be mended:", *problems[:20]]))
    return found


def _add(found: list[Suppression], request: ConsoleRequest) -> int:
    customers = {one.chargebee_customer_id for one in found}
    known = set(
        Suppression.objects.filter(is_active=True, chargebee_customer_id__in=customers).values_list(
            "chargebee_customer_id", "channel", "kind"
        )
    )
    added = 0
    with transaction.atomic():
        for one in found:
            if (one.chargebee_customer_id, one.channel, one.kind) in known:
                continue
            known.add((one.chargebee_customer_id, one.channel, one.kind))
            one.added_by, one.added_at = request.user, clock.now()
            one.save()
            added += 1
        ledger.append(
            "suppression.imported",
            actor=person(request.user),
            trace_id=new_trace_id(),
            subject=("suppression_list", str(added)),
            data={"added": added},
        )
    return added
