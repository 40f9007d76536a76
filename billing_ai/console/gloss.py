"""“In English”: what a message in another language says. Made when somebody asks, shown to them, kept nowhere."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from agents.platform.llm import gloss
from approvals.admin.acting import case_address
from approvals.admin.pages import ConsoleRequest, console_page, note_refused, show, wants_json
from approvals.people import Refused
from approvals.review_english import foreign_words, rendered_in_english
from billing_ai.kernel.errors import OutsideError


@console_page
@require_POST
def english(request: ConsoleRequest, proposal_id: UUID) -> HttpResponse:
    """The current text of a proposal in English, with the facts in it."""
    if not request.user.has_perm("approvals.work_case"):
        raise PermissionDenied("Asking for a translation is for those who decide on cases.")
    try:
        foreign = foreign_words(proposal_id, request.user)
    except (Refused, OutsideError) as error:
        note_refused(request, "proposal", str(proposal_id), "english", error.code)
        return JsonResponse({"ok": False, "said": error.sentence}, status=409)
    said = gloss.in_english(foreign.words, agent=foreign.proposal.agent, trace_id=foreign.proposal.trace_id, never_send=foreign.names)
    rendered = rendered_in_english(foreign, said.subject, said.body)
    answer: dict[str, Any] = {
        "subject": rendered.subject if rendered else said.subject,
        "text": rendered.text if rendered else said.body,
        "by": _by(said),
        "notes": list(said.notes),
    }
    if wants_json(request):
        return JsonResponse({"ok": True, **answer})
    back = case_address(foreign.proposal.case_id, request.POST.get("question", ""))
    return show(request, "console/english.html", "In English", {**answer, "back": back})


def _by(said: gloss.Gloss) -> str:
    if said.unknown:
        lines = "one line" if said.unknown == 1 else f"{said.unknown} lines"
        return f"From the built-in texts; {lines} that nobody could translate {'stands' if said.unknown == 1 else 'stand'} as written."
    return "From the built-in texts, word for word." if said.by == "built-in" else f"Translated by {said.by}; check what matters."
