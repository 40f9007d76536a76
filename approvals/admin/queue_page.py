"""The queue: which case to look at next, and why."""

from __future__ import annotations

from itertools import islice
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.http import HttpResponse
from django.views.decorators.http import require_GET, require_POST

from approvals import states
from approvals.admin.pages import ConsoleRequest, console_page, show
from approvals.admin.queue_query import FILTERS, PAGE, VIEWS, Question, count_text, matching, page, question, view_counts
from approvals.models import Case, Decision, KillSwitch
from approvals.policy.reference import reference_currency
from approvals.wording.reader import Reader, reader_of
from audit.reads import note_personal_read
from billing_ai.integrations.chargebee import reads
from billing_ai.integrations.chargebee.resources import Customer
from billing_ai.kernel.errors import OutsideError

LIVE_HITS = 10
"""How many customers a search by name brings back; who means another one says more of the name."""


def age_words(case: Case, reader: Reader) -> tuple[str, str]:
    """How overdue a case is, and how loudly to say so."""
    if case.due_on is None:
        return "no due date", "quiet"
    days = (reader.today() - case.due_on).days
    if days < 0:
        return f"due in {-days} day{'s' if days != -1 else ''}", "quiet"
    if days == 0:
        return "due today", "quiet"
    tone = "quiet" if days <= 7 else "warn" if days <= 30 else "bad"
    return f"{days} day{'s' if days != 1 else ''} overdue", tone


def amount_words(case: Case, reader: Reader) -> dict[str, Any]:
    """What it is about and how urgent that is: the amount due and its age; without an invoice the revenue that would be lost."""
    if case.chargebee_invoice_id or case.amount_due_minor:
        return {"amount": reader.minor(case.amount_due_minor, case.currency), "age": age_words(case, reader)}
    if not case.at_stake_reference:
        return {"amount": "", "age": ("no amount", "quiet")}
    return {"amount": f"≈ {reader.minor(case.at_stake_reference, reference_currency())}", "age": ("at stake", "quiet")}


def _row(case: Case, reader: Reader, waits: dict[UUID, str]) -> dict[str, Any]:
    return {
        "case": case,
        **amount_words(case, reader),
        "waits": waits.get(case.pk, ""),
        "alone": round(case.alone_bp / 100),
        "uplift": round(case.uplift_bp / 100),
        "owner": (case.owner.get_full_name() or case.owner.get_username()) if case.owner else "",
        "is_late": case.deadline_at is not None and case.deadline_at < reader.end_of_today(),
    }


def _waits_for(cases: list[Case]) -> dict[UUID, str]:
    """Who has approved what of these cases and waits for a second person: the sentence by case."""
    rows = (
        Decision.objects.filter(proposal__case__in=[case.pk for case in cases], proposal__status=states.SECOND, kind="approve")
        .filter(revision=F("proposal__current"))
        .values_list("proposal__case", "by__first_name", "by__last_name", "by__username")
        .order_by("at")
    )
    names: dict[UUID, dict[str, None]] = {}
    for case_id, first, last, username in rows:
        names.setdefault(case_id, {})[f"{first or ''} {last or ''}".strip() or username or "a policy"] = None
    return {case_id: f"{' and '.join(who)} approved; waits for another lead" for case_id, who in names.items()}


@console_page
@require_GET
def queue(request: ConsoleRequest) -> HttpResponse:
    """One page of the queue. Everything that chose it is in the address, so that it can be kept as a bookmark."""
    reader, asked = reader_of(request), question(request.GET)
    return _show_queue(request, reader, asked)


@console_page
@require_POST
def find_customer(request: ConsoleRequest) -> HttpResponse:
    """Search by name or e-mail, asked of Chargebee now. By POST, so that no address bar, log or history keeps the name."""
    if not request.user.has_perm("approvals.read_personal"):
        raise PermissionDenied("Your role may not search for people.")
    reader, text = reader_of(request), request.POST.get("who", "").strip()[:100]
    found, trouble = _find_live(text)
    for customer in found:
        note_personal_read(request.user, customer.id, "name in a search", "looked for a customer by name or e-mail")
    asked = Question(VIEWS["all"], {}, customers=tuple(customer.id for customer in found) or ("-",))
    people = [
        (customer.id, " ".join(part for part in (customer.first_name, customer.last_name) if part), customer.company) for customer in found
    ]
    return _show_queue(request, reader, asked, people=people, trouble=trouble, searched_live=True)


def _find_live(text: str) -> tuple[list[Customer], str]:
    if len(text) < 2:
        return [], "Write at least two letters of the name, or a whole e-mail address."
    first, _, rest = text.partition(" ")
    ways: list[dict[str, str]] = [{"company": text}, {"last_name": text}, {"first_name": text}]
    if "@" in text:
        ways = [{"email": text.lower()}]
    elif rest:
        ways.insert(0, {"first_name": first, "last_name": rest.strip()})
    found: dict[str, Customer] = {}
    try:
        for way in ways:
            for customer in islice(reads.find_customers(**way), LIVE_HITS - len(found)):
                found[customer.id] = customer
            if len(found) >= LIVE_HITS:
                break
    except OutsideError as error:
        return list(found.values()), f"Chargebee could not be asked: {error.sentence} Search by customer id or invoice number instead."
    return list(found.values()), "" if found else "Nobody of that name or address is a customer in Chargebee."


def _show_queue(
    request: ConsoleRequest,
    reader: Reader,
    asked: Question,
    *,
    people: list[tuple[str, str, str]] | None = None,
    trouble: str = "",
    searched_live: bool = False,
) -> HttpResponse:
    user: User = request.user
    shown = page(matching(asked, user, reader), after=request.GET.get("after", ""), before=request.GET.get("before", ""))
    counts = view_counts(user, reader)
    waits = _waits_for(shown.cases)
    context = {
        "rows": [_row(case, reader, waits) for case in shown.cases],
        "asked": asked,
        "question": asked.address(),
        "views": [
            {
                "view": view,
                "count": count_text(counts[key]) if key in counts else "",
                "is_on": not searched_live and not asked.search and view is asked.view,
            }
            for key, view in VIEWS.items()
        ],
        "filters": [{"filter": one, "chosen": asked.chosen.get(one.key, "")} for one in FILTERS],
        "first_page": asked.address() if shown.before else "",
        "before": asked.address(before=shown.before) if shown.before else "",
        "after": asked.address(after=shown.after) if shown.after else "",
        "people": people or [],
        "trouble": trouble,
        "searched_live": searched_live,
        "may_work": user.has_perm("approvals.work_case"),
        "may_find": user.has_perm("approvals.read_personal"),
        "may_bulk": user.has_perm("approvals.lead_case"),
        "stopped": list(KillSwitch.objects.filter(is_on=True)),
        "page_size": PAGE,
    }
    return show(request, "console/queue.html", "Queue", context)
