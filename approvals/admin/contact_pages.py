"""May this customer be contacted? Each channel's answer with the rule behind it, what the customer has said, and the list of those left alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from approvals.admin.pages import ConsoleRequest, console_page, note_refused, show
from approvals.contract import Check
from approvals.models import Case, Consent, Suppression
from approvals.people import Refused, require_lead, role_of
from approvals.policy import consent
from approvals.policy.contact import contact_checks
from approvals.policy.contact_rules import next_allowed_minute
from billing_ai.facts.models import Customer
from billing_ai.kernel import clock

CHANNELS = {"email": "Mail", "sms": "Text message", "call": "Call"}
STATES = {"granted": True, "denied": False}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the rules say of one channel now: the check that decides, all of them, and the next minute that is allowed."""

    channel: str
    word: Consent | None
    decisive: Check
    checks: tuple[Check, ...]
    allowed_at: datetime | None


@console_page
@require_http_methods(["GET", "POST"])
def contact(request: ConsoleRequest, customer_id: str) -> HttpResponse:
    """Look, and on POST record a word, put on the list or take off it."""
    known = Customer.objects.filter(pk=customer_id).first()
    if known is None and not Case.objects.filter(chargebee_customer_id=customer_id).exists():
        raise Http404("There is no such customer.")
    if request.method == "POST":
        try:
            said = _change(request, customer_id)
        except Refused as error:
            note_refused(request, "customer", customer_id, "contact", error.code)
            messages.error(request, error.sentence)
        else:
            messages.success(request, said)
        return HttpResponseRedirect(reverse("console:contact", args=[customer_id]))
    now = clock.now()
    context = {
        "customer_id": customer_id,
        "known": known,
        "now": now,
        "answers": [_answer(customer_id, channel, now) for channel in CHANNELS],
        "listed": Suppression.objects.filter(chargebee_customer_id=customer_id, is_active=True).select_related("added_by").order_by("-pk"),
        "kinds": consent.KINDS,
        "channels": CHANNELS,
        "may": request.user.has_perm("approvals.work_case"),
        "leads": request.user.has_perm("approvals.lead_case"),
    }
    return show(request, "console/contact.html", f"May {customer_id} be contacted?", context)


def _answer(customer_id: str, channel: str, now: datetime) -> Answer:
    checks = contact_checks(customer_id, channel, "dunning", now)
    by_weight = ("deny", "wait", "person", "allow")
    decisive = min(checks, key=lambda check: by_weight.index(check.outcome))
    word = Consent.objects.filter(chargebee_customer_id=customer_id, channel=channel).first()
    return Answer(channel, word, decisive, checks, next_allowed_minute(checks, now))


def _change(request: ConsoleRequest, customer_id: str) -> str:
    form, user = request.POST, request.user
    role_of(user)
    match form.get("what"):
        case "consent":
            state = form.get("state", "")
            if state not in STATES or form.get("channel") not in CHANNELS:
                raise Refused("bad_values", "Choose a channel, and yes or no.")
            if STATES[state]:
                require_lead(user)
            consent.record(customer_id, form["channel"], granted=STATES[state], source="console", user=user)
            return "Written down. It counts from now on."
        case "suppress":
            try:
                until_on = date.fromisoformat(form["until"]) if form.get("until") else None
                consent.suppress(
                    customer_id,
                    form.get("kind", ""),
                    user,
                    channel=form.get("channel", ""),
                    until_on=until_on,
                    reason=form.get("reason", "")[:500],
                )
            except ValueError as error:
                raise Refused("bad_values", "Choose a reason, a channel and a day that exist.") from error
            return "On the list. What waits for this customer does not go out."
        case "lift":
            require_lead(user)
            reason = form.get("reason", "").strip()
            if not reason:
                raise Refused("reason_needed", "Say why the entry is lifted.")
            mine = Suppression.objects.filter(chargebee_customer_id=customer_id, pk=_number(form.get("entry", ""))).exists()
            if not mine or not consent.lift(_number(form["entry"]), user, reason=reason[:500]):
                raise Refused("already_decided", "This entry is no longer on the list.")
            return "Taken off the list."
    raise Refused("bad_values", "There is nothing to change.")


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
