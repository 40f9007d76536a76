"""Many at once: a preview first, then a release one after the other that can be stopped. Each approval binds to what its row showed."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from approvals import states, transitions
from approvals.admin.editing import as_chips
from approvals.admin.pages import ConsoleRequest, console_page, show
from approvals.ledger_notes import note_proposal
from approvals.models import Case, Decision, Execution, Proposal
from approvals.people import Refused
from approvals.revisions import read_words
from approvals.wording import words
from approvals.wording.reader import Reader, reader_of
from audit.actor import person
from audit.seal import Erased
from billing_ai.facts.queries import facts_hash
from billing_ai.kernel import clock
from billing_ai.kernel.errors import OutsideError

MOST = 200
"""Cases in one release."""
GAPS = {10: "10 seconds apart", 30: "30 seconds apart", 60: "a minute apart", 300: "5 minutes apart"}
OUTLIER = 3
"""An amount this many times the median of the release is held back for a look of its own."""


def _only_leads(request: ConsoleRequest) -> None:
    if not request.user.has_perm("approvals.lead_case"):
        raise PermissionDenied("Releasing many at once is for leads.")


@console_page
@require_POST
def release(request: ConsoleRequest) -> HttpResponse:
    """`step=preview` shows what would go out, `step=release` lets it go."""
    _only_leads(request)
    if request.POST.get("step") == "release":
        return _release(request)
    return _preview(request)


def _preview(request: ConsoleRequest) -> HttpResponse:
    reader = reader_of(request)
    chosen = [pk for text in request.POST.getlist("case")[:MOST] if (pk := _uuid(text))]
    if not chosen:
        messages.error(request, "Nothing is selected: tick the cases first.")
        return HttpResponseRedirect(reverse("console:queue"))
    waiting = list(
        Proposal.objects.filter(case__in=chosen, status__in=states.FOR_PEOPLE)
        .select_related("case", "current")
        .order_by("-case__stake", "case_id", "pk")
    )
    kinds = Counter(one.action for one in waiting)
    kind = request.POST.get("action") or ("send_message" if "send_message" in kinds else next(iter(kinds), ""))
    same = [one for one in waiting if one.action == kind]
    middle = statistics.median([one.case.amount_reference for one in same]) if same else 0
    rows = [_row(one, reader, middle) for one in same]
    going = [row for row in rows if not row["held"]]
    context = {
        "chosen": chosen,
        "kinds": [(key, words.action(key), count) for key, count in kinds.items()],
        "kind": kind,
        "going": going,
        "held": [row for row in rows if row["held"]],
        "customers": len({row["proposal"].chargebee_customer_id for row in going}),
        "money": _money(going, reader),
        "languages": Counter(row["proposal"].current.language or row["proposal"].case.language or "—" for row in going).most_common(),
        "gaps": GAPS,
        "nothing": len(chosen) - len({one.case_id for one in same}),
    }
    return show(request, "console/bulk.html", "Release many", context)


def _row(proposal: Proposal, reader: Reader, middle: float) -> dict[str, Any]:
    revision = proposal.current
    row: dict[str, Any] = {
        "proposal": proposal,
        "amount": reader.minor(proposal.case.amount_due_minor, proposal.case.currency),
        "facts_hash": facts_hash(proposal.chargebee_invoice_id, proposal.chargebee_customer_id),
        "body": "",
        "held": _held(proposal, middle),
    }
    if revision is not None and revision.sealed_words is not None:
        revision.proposal = proposal
        try:
            said = read_words(revision)
        except Erased:
            return {**row, "held": "the words were erased with the customer"}
        if said is not None:
            row["body"] = as_chips(f"{said.subject}\n\n{said.body}" if said.subject else said.body, None, said.channel)
    return row


def _held(proposal: Proposal, middle: float) -> str:
    """Why this one needs a look of its own; empty when it may go with the others."""
    if proposal.current is None:
        return "it has no text"
    if proposal.expires_at <= clock.now():
        return "it has expired"
    if proposal.approvals_needed > 1 or proposal.status == states.SECOND:
        return "it needs two people"
    if proposal.needs_person:
        return "the agent asked for a person"
    if any(finding.get("severity") != "note" for finding in proposal.current.findings):
        return "something was found in the text"
    if proposal.case.status != Case.OPEN:
        return f"the case is {proposal.case.status}"
    if middle and proposal.case.amount_reference > OUTLIER * middle:
        return f"the amount is more than {OUTLIER} times the middle one"
    return ""


def _money(rows: list[dict[str, Any]], reader: Reader) -> list[str]:
    sums: dict[str, int] = defaultdict(int)
    for row in rows:
        sums[row["proposal"].case.currency] += row["proposal"].case.amount_due_minor
    return [reader.minor(minor, currency) for currency, minor in sorted(sums.items())]


def _release(request: ConsoleRequest) -> HttpResponse:
    batch, gap = uuid4().hex[:12], request.POST.get("gap", "30")
    seconds = int(gap) if gap.isdigit() and int(gap) in GAPS else 30
    done, began = 0, clock.now()
    for text in request.POST.getlist("proposal")[:MOST]:
        pk = _uuid(text)
        if pk is None:
            continue
        try:
            transitions.approve(
                pk,
                request.user,
                content_hash=request.POST.get(f"content_hash:{text}", ""),
                facts_hash=request.POST.get(f"facts_hash:{text}", ""),
                note=f"bulk:{batch}",
                began=began,
                behind=timedelta(seconds=done * seconds),
            )
            done += 1
        except (Refused, OutsideError) as error:
            proposal = Proposal.objects.filter(pk=pk).first()
            if proposal is not None:
                note_proposal("console.refused", proposal, person(request.user), {"order": "bulk", "code": error.code})
            messages.warning(request, f"{proposal.chargebee_invoice_id if proposal else text}: {error.sentence}")
    if not done:
        messages.error(request, "Nothing was released.")
        return HttpResponseRedirect(reverse("console:queue"))
    return HttpResponseRedirect(reverse("console:batch", args=[batch]))


def _of_batch(batch: str) -> list[Proposal]:
    # `undone` is what an approval is called after it was taken back.
    notes = Decision.objects.filter(kind__in=("approve", "undone"), note=f"bulk:{batch[:12]}", at__gte=clock.now() - timedelta(days=2))
    return list(Proposal.objects.filter(pk__in=notes.values("proposal")).select_related("case").order_by("pk"))


@console_page
@require_GET
def progress(request: ConsoleRequest, batch: str) -> HttpResponse:
    """How far a release is."""
    _only_leads(request)
    proposals = _of_batch(batch)
    times = dict(Execution.objects.filter(proposal__in=proposals).values_list("proposal_id", "not_before"))
    proposals.sort(key=lambda one: (times.get(one.pk) is None, times.get(one.pk) or clock.now()))
    still = sum(one.status == states.APPROVED for one in proposals)
    context = {
        "batch": batch,
        "rows": [(one, times.get(one.pk), reader_of(request).minor(one.case.amount_due_minor, one.case.currency)) for one in proposals],
        "still": still,
        "gone": len(proposals) - still,
        "total": len(proposals),
    }
    return show(request, "console/batch.html", "Release", context)


@console_page
@require_POST
def stop(request: ConsoleRequest, batch: str) -> HttpResponse:
    """Take back all of a release that has not gone out."""
    _only_leads(request)
    stopped = late = 0
    for proposal in _of_batch(batch):
        if proposal.status != states.APPROVED:
            continue
        try:
            transitions.undo(proposal.pk, request.user)
            stopped += 1
        except Refused:
            late += 1
    messages.success(request, f"Stopped: {stopped} taken back and waiting again" + (f", {late} had just gone out." if late else "."))
    return HttpResponseRedirect(reverse("console:batch", args=[batch]))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
