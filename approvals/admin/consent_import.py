"""A list of what customers agreed to or refused, uploaded by a lead: all of it, or with a line that is wrong, none of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse

from approvals.admin.pages import ConsoleRequest, console_page, show
from approvals.policy import consent
from audit import ledger
from audit.actor import person
from billing_ai.kernel import clock
from billing_ai.kernel.ids import new_trace_id
from billing_ai.tables.csv_files import BadFile, read_rows

COLUMNS = ("customer_id", "channel", "state", "said_on")
STATES = {"granted": True, "denied": False}
MOST = 5_000
"""Lines in one list: each is a word of its own in the ledger."""


@dataclass(frozen=True, slots=True)
class Line:
    """One customer's word."""

    customer_id: str
    channel: str
    granted: bool
    said_at: datetime


@console_page
def upload(request: ConsoleRequest) -> HttpResponse:
    """Show the form; on POST read the file, check every line, and record each word. A newer word on record stays."""
    if not request.user.has_perm("approvals.lead_case"):
        raise PermissionDenied("Importing a list of consents is for leads.")
    problems: list[str] = []
    if request.method == "POST":
        given = request.FILES.get("list")
        try:
            lines = _parse(given.read() if given else b"")
            _record(lines, request)
            messages.success(request, f"{len(lines)} lines taken. Where a newer word was on record, that one stays.")
            return HttpResponseRedirect(reverse("admin:approvals_consent_changelist"))
        except BadFile as error:
            problems = str(error).split("\n")
    context = {
        "problems": problems,
        "columns": COLUMNS,
        "hint": "All but the day have to be there. State: granted or denied. Without a day the word counts from now.",
        "back": reverse("admin:approvals_consent_changelist"),
    }
    return show(request, "console/import.html", "Import consents", context, status=400 if problems else 200)


def _record(lines: list[Line], request: ConsoleRequest) -> None:
    with transaction.atomic():
        for line in lines:
            consent.record(line.customer_id, line.channel, granted=line.granted, source="import", user=request.user, at=line.said_at)
        ledger.append(
            "consent.imported",
            actor=person(request.user),
            trace_id=new_trace_id(),
            subject=("consent_list", str(len(lines))),
            data={"lines": len(lines)},
        )


def _parse(content: bytes) -> list[Line]:
    rows = read_rows(content, COLUMNS)
    if not 0 < len(rows) <= MOST:
        raise BadFile(f"A list has from 1 to {MOST} lines; this one has {len(rows)}.")
    now = clock.now()
    found: list[Line] = []
    problems = []
    for number, row in enumerate(rows, start=2):
        customer_id, channel, state = row.get("customer_id", ""), row.get("channel", "").lower(), row.get("state", "").lower()
        said_on = row.get("said_on", "")
        try:
            said_at = datetime.combine(date.fromisoformat(said_on), time(12), UTC) if said_on else now
        except ValueError:
            problems.append(f"Line {number}: “{said_on[:20]}” is no day; write 2026-12-31 or nothing.")
            continue
        if not customer_id or len(customer_id) > 100 or "@" in customer_id:
            problems.append(f"Line {number}: write the Chargebee customer id.")
        elif channel not in consent.CHANNELS:
            problems.append(f"Line {number}: “{channel[:20]}” is no channel; write {', '.join(consent.CHANNELS)}.")
        elif state not in STATES:
            problems.append(f"Line {number}: “{state[:20]}” is neither granted nor denied, and is not guessed.")
        elif said_at.date() > now.date():
            problems.append(f"Line {number}: the day is still to come.")
        else:
            found.append(Line(customer_id, channel, STATES[state], min(said_at, now)))
    if problems:
        raise BadFile("\n".join([f"Nothing was imported; {len(problems)} line(s) have to be mended:", *problems[:20]]))
    return found
