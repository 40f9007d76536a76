"""The review page: left what would be done, as the customer will see it; right why. The same inside serves the full page and the queue."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET, require_POST

from approvals import states
from approvals.admin import editing, presence
from approvals.admin.calendar_month import weeks
from approvals.admin.fact_links import fact_address, slot_sources
from approvals.admin.pages import ConsoleRequest, console_page, show
from approvals.admin.queue_page import amount_words
from approvals.admin.queue_query import neighbours, question
from approvals.case_transitions import DISPUTE_CODES
from approvals.drafts.sms import size
from approvals.models import Case, Execution, Promise, Proposal
from approvals.people import Refused
from approvals.review import Review, ReviewedProposal, load, preview
from approvals.transitions import REJECT_REASONS
from approvals.wording import words
from approvals.wording.reader import Reader, TwoClocks, reader_of
from billing_ai.kernel import clock
from billing_ai.kernel.errors import OutsideError
from billing_ai.kernel.money import Money
from billing_ai.tables.differences import word_difference

_RULE_ID = re.compile(r"[a-z_]+(\.[a-z_]+)+")
_SHOWN_WHEN_OPEN = (*states.FOR_PEOPLE, states.APPROVED, states.EXECUTING, states.UNKNOWN, states.BLOCKED, states.OBSERVED)


@console_page
@require_GET
def case_page(request: ConsoleRequest, case_id: UUID) -> HttpResponse:
    """One case, whole. When Chargebee cannot be reached, what we know without it."""
    case = Case.objects.select_related("owner").filter(pk=case_id).first()
    if case is None:
        raise Http404("There is no such case.")
    reader, asked = reader_of(request), question(request.GET)
    around = neighbours(asked, request.user, reader, case)
    colleagues = User.objects.filter(is_active=True, groups__name__in=("specialist", "lead")).order_by("first_name", "username").distinct()
    review = load(case, request.user, also={**around, "colleagues": colleagues[:100]})
    context: dict[str, Any] = {
        "case": case,
        "question": asked.address(),
        "others": presence.seen(case.pk, request.user),
        "beat_seconds": presence.BEAT_SECONDS,
        "following": next((pk for name in ("after", "first") for pk in review.also[name]), None),
        "preceding": next(iter(review.also["before"]), None),
        **amount_words(case, reader),
        "may_work": request.user.has_perm("approvals.work_case"),
        "may_lead": request.user.has_perm("approvals.lead_case"),
        "reject_reasons": REJECT_REASONS,
        "dispute_codes": DISPUTE_CODES,
        "colleagues": review.also["colleagues"],
        "stopped": [switch for switch in review.switches if switch.scope in ("all", case.agent)],
        "promise": next((one for one in review.promises if one.status == Promise.OPEN), None),
    }
    return show(request, "console/case.html", str(case), {**context, **_inside(request, review, reader)})


def _inside(request: ConsoleRequest, review: Review, reader: Reader) -> dict[str, Any]:
    cards = [_card(one, review, reader) for one in review.proposals]
    shown = [card for card in cards if card["proposal"].status in _SHOWN_WHEN_OPEN]
    if not shown:
        shown = cards[:4]
    shown.sort(key=lambda card: (not card["is_message"], not card["is_open"]))
    openly = [card for card in shown if card["is_open"]]
    live = review.live
    who = live.customer if live else None
    return {
        "review": review,
        "due_now": live.draft.invoice.amount_due if live and live.invoice else None,
        "limits": _limits(cards),
        "checked": _checked(shown),
        "cards": shown,
        "past": [card for card in cards if card not in shown],
        "decidable": openly if live or not review.case.chargebee_invoice_id else [],
        "primary": next((card for card in shown if card["is_message"]), None),
        "for_a_lead": [card["title"].lower() for card in openly if card["one"].is_for_a_lead],
        "may_approve": any(not card["one"].is_for_a_lead for card in openly),
        "undoable": sorted((card for card in shown if card["is_undoable"]), key=lambda card: card["goes_out_at"]),
        "clocks": TwoClocks.of(reader, review.zone),
        "calendar": _calendar(review, reader),
        "factors": _factors(review.case),
        "changes": _changes(request, review, openly, reader),
        "name": " ".join(part for part in (who.first_name, who.last_name) if part) if who else "",
        "company": who.company if who else "",
        "phone": who.phone if who else "",
    }


def _card(one: ReviewedProposal, review: Review, reader: Reader) -> dict[str, Any]:
    proposal, revision = one.proposal, one.revision
    is_message = one.words is not None
    findings = [editing.finding_words(finding) for finding in one.findings]
    card: dict[str, Any] = {
        "one": one,
        "proposal": proposal,
        "revision": revision,
        "is_message": is_message,
        "is_open": one.can_decide,
        **_undoable(proposal),
        "is_unknown": proposal.status == states.UNKNOWN,
        **_held_up(proposal),
        "title": words.action(proposal.action),
        "does": one.describes,
        "amount": reader.minor(proposal.amount_minor, proposal.currency) if proposal.amount_minor else "",
        "findings": findings,
        "stands_against": next((check["sentence"] for check in one.checks if check["outcome"] == "deny"), "")
        or next((str(finding["title"]) for finding in findings if finding["severity"] == "block"), ""),
        "checks": [_check(check, reader) for check in one.checks],
        "fine": sum(check["outcome"] == "allow" for check in one.checks),
        "approvals": one.approvals if proposal.status == states.SECOND else (),
    }
    if is_message and one.words is not None and revision is not None:
        facts = one.facts
        card |= {
            "is_foreign": one.words.language.split("-")[0].lower() != "en",
            "subject_chips": editing.as_chips(one.words.subject, facts, one.words.channel),
            "body_chips": editing.as_chips(one.words.body, facts, one.words.channel),
            "insertable": editing.insertable(facts, one.words.channel) if facts else [],
            "difference": _difference(one),
            "sources": slot_sources(one.words, facts, review.live, review.case) if facts and review.live else [],
            "sms": asdict(size(one.rendered.whole_text)) if one.rendered and one.words.channel == "sms" else None,
        }
    return card


def _undoable(proposal: Proposal) -> dict[str, Any]:
    """May the approval still be taken back, and when does it go out? `seconds_left` only within the hour: further off nobody counts."""
    execution: Execution | None = getattr(proposal, "execution", None) if proposal.status == states.APPROVED else None
    is_companion = proposal.action in ("pause_dunning", "resume_dunning")  # goes with another decision, and back with it
    if execution is None or execution.status != Execution.WAITING or execution.first_sent_at is not None or is_companion:
        return {"is_undoable": False}
    seconds = max(0, round((execution.not_before - clock.now()).total_seconds()))
    return {"is_undoable": True, "goes_out_at": execution.not_before, "seconds_left": seconds if seconds <= 3_600 else None}


def _held_up(proposal: Proposal) -> dict[str, Any]:
    """Why an approved effect has not gone out, and when it is tried next: the outside world's answer in words, or the rule that lets it wait."""
    execution: Execution | None = getattr(proposal, "execution", None) if proposal.status == states.APPROVED else None
    if execution is None or not execution.reason:
        return {"held_up": "", "next_try": None}
    rule, _, sentence = execution.reason.partition(": ")
    is_waiting = execution.status == Execution.WAITING
    return {
        "held_up": sentence if sentence and _RULE_ID.fullmatch(rule) else execution.reason,
        "next_try": execution.not_before if is_waiting else None,
    }


def _limits(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How much of each counted limit is used, from what the rules themselves counted."""
    found: dict[str, dict[str, Any]] = {}
    for card in cards:
        for check in card["one"].checks:
            counted = check.get("data") or {}
            # Sums in the reference currency are no counts; the check says them in words.
            if not check["rule"].endswith("amount") and isinstance(counted.get("used"), int) and isinstance(counted.get("limit"), int):
                found[check["rule"]] = {"label": words.limit(check["rule"]), "used": counted["used"], "ceiling": counted["limit"]}
    return list(found.values())


def _checked(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the checks say, the cards with the very same objections together."""
    found: dict[tuple[tuple[str, Any], ...], dict[str, Any]] = {}
    for card in cards:
        if not card["checks"]:
            continue
        against = [check for check in card["checks"] if not check["is_fine"]]
        fine = [check for check in card["checks"] if check["is_fine"]]
        said = tuple((check["sentence"], check["until"]) for check in against)
        group = found.setdefault(said, {"titles": [], "against": against, "fine": []})
        group["titles"].append(card["title"])
        group["fine"] += [check for check in fine if check["sentence"] not in {one["sentence"] for one in group["fine"]}]
    return list(found.values())


def _check(check: Any, reader: Reader) -> dict[str, Any]:
    row = check if isinstance(check, dict) else check.as_json()
    title, tone, icon = words.CHECK_OUTCOMES.get(row["outcome"], (row["outcome"], "info", "info"))
    until = datetime.fromisoformat(row["not_before"]) if row.get("not_before") else None
    return {
        "rule": row["rule"],
        "sentence": row["sentence"],
        "title": title,
        "tone": tone,
        "icon": icon,
        "until": until,
        "is_fine": row["outcome"] == "allow",
    }


def _difference(one: ReviewedProposal) -> list[tuple[str, str]]:
    """Between the agent's draft and the text as it stands; empty when nobody has edited."""
    if one.drafted is None or one.words is None:
        return []
    before, after = (f"{said.subject}\n\n{said.body}" if said.subject else said.body for said in (one.drafted, one.words))
    return list(word_difference(before, after))


def _factors(case: Case) -> list[dict[str, Any]]:
    """The reasons that moved the likelihood, the strongest first, with the width of their bar. What acting adds stands above them already."""
    rows = [row for row in case.reasons if isinstance(row, dict) and row.get("code") != "acting"]
    strongest = max((abs(float(row.get("weight") or 0)) for row in rows), default=0) or 1
    return [
        {
            "sentence": row.get("sentence", ""),
            "width": round(50 * abs(float(row.get("weight") or 0)) / strongest),
            "is_up": float(row.get("weight") or 0) >= 0,
            "weight": float(row.get("weight") or 0),
            "fact": row.get("fact", ""),
            "href": fact_address(str(row.get("fact", ""))),
        }
        for row in sorted(rows, key=lambda row: -abs(float(row.get("weight") or 0)))
    ]


def _calendar(review: Review, reader: Reader) -> dict[str, Any]:
    marks: dict[date, list[tuple[str, str]]] = {}
    clocks, why = TwoClocks.of(reader, review.zone), ""
    for one in review.proposals:
        if one.proposal.action == "collect_payment" and one.proposal.not_before and one.proposal.status in states.OPEN:
            day = clocks.planned.local(one.proposal.not_before).date()
            place = f" {clocks.place}" if clocks.place else ""
            marks.setdefault(day, []).append(("retry", f"we try to collect, {clocks.planned.time(one.proposal.not_before)}{place}"))
            why = " ".join(str(row.get("sentence", "")) for row in one.proposal.reasons if isinstance(row, dict))
    for promise in review.promises if review.case.status == Case.PROMISED else ():
        if promise.status == Promise.OPEN:
            marks.setdefault(promise.due_on, []).append(("promise", f"promised: {reader.minor(promise.amount_minor, promise.currency)}"))
    for invoice in review.open_invoices:
        native = getattr(invoice, "next_native_retry_at", None)
        if native is not None:
            marks.setdefault(clocks.planned.local(native).date(), []).append(("native", "Chargebee's own retry"))
    if review.case.due_on:
        marks.setdefault(review.case.due_on, []).append(("due", "the invoice was due"))
    return {"weeks": weeks(reader.today(), marks), "why": why, "has_retry": any(kind == "retry" for row in marks.values() for kind, _ in row), "marks": sorted(
        (day, kind, said) for day, row in marks.items() for kind, said in row
    )}  # fmt: skip


def _changes(request: ConsoleRequest, review: Review, openly: list[dict[str, Any]], reader: Reader) -> list[str]:
    """After a refusal: what is different from what the reader had on the screen."""
    if "refused" not in request.GET:
        return []
    changes: list[str] = []
    seen_due, _, currency = request.GET.get("seen_due", "").partition(" ")
    now_due = review.live.draft.invoice.amount_due if review.live and review.live.invoice else review.case.amount_due
    if seen_due.lstrip("-").isdigit() and currency == now_due.currency and int(seen_due) != now_due.minor:
        changes.append(f"Due was {reader.money(Money(int(seen_due), currency))}, now it is {reader.money(now_due)}.")
    seen_revision = request.GET.get("seen_revision", "")
    for card in openly:
        if card["is_message"] and seen_revision.isdigit() and card["revision"].number != int(seen_revision):
            author = card["revision"].author
            changes.append(
                f"The text was edited by {author.get_full_name() or author.get_username() if author else 'the agent'}: revision {card['revision'].number}."
            )
    if not openly:
        changes.extend(
            f"{words.action(one.proposal.action)}: {_now(one.proposal.status)}. {one.proposal.status_reason}"
            for one in review.proposals[:3]
        )
    return changes


def _now(status: str) -> str:
    return "has gone out" if status == states.DONE else words.status(status)[0].lower()


@console_page
@require_POST
def check(request: ConsoleRequest, proposal_id: UUID) -> HttpResponse:
    """The live check of the editor, for whoever may edit: what the text would look like, what in it may not be sent. Keeps nothing."""
    if not request.user.has_perm("approvals.work_case"):
        raise PermissionDenied("Checking a text is for those who may edit it.")
    try:
        rendered, findings = preview(
            proposal_id, request.user, request.POST.get("subject", ""), request.POST.get("body", "").replace("\r\n", "\n")
        )
    except (Refused, OutsideError) as error:
        return JsonResponse({"ok": False, "said": error.sentence}, status=409)
    found = [editing.finding_words(finding) for finding in findings]
    answer: dict[str, Any] = {"ok": True, "findings": found, "may_be_sent": not any(finding["severity"] == "block" for finding in found)}
    if rendered is not None:
        answer |= {"subject": rendered.subject, "text": rendered.whole_text, "html": rendered.html, "sms_segments": rendered.sms_segments}
        answer["sms"] = asdict(size(rendered.whole_text)) if rendered.html is None else None
    return HttpResponse(json.dumps(answer, default=str), content_type="application/json")


@console_page
@require_POST
def here(request: ConsoleRequest, case_id: UUID) -> HttpResponse:
    """The open page's beat: I am still here; who else is?"""
    if request.POST.get("left"):
        presence.left(case_id, request.user)
        return JsonResponse({"others": []})
    return JsonResponse({"others": presence.seen(case_id, request.user)})
