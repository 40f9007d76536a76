"""How messages look with the brand's values, before and after they are saved. Changes nothing: the rule's own page does."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.http import HttpResponse
from django.views.decorators.http import require_GET

from approvals import brand
from approvals.admin.pages import ConsoleRequest, console_page, show
from approvals.drafts import built_in
from approvals.drafts.facts import Card, Customer, DraftFacts, Invoice
from approvals.drafts.findings import RULES, DraftPolicy, DraftText
from approvals.drafts.render import RenderedMessage, SlotDraft, render
from approvals.drafts.slots import slots_for
from approvals.drafts.verify import verify
from approvals.models import Policy
from billing_ai.kernel.money import Money

STAGES = ("first_notice", "reminder", "last_notice", "apology")
TONES = ("warm", "neutral", "firm")
_PEOPLE = {"de": "Miriam", "fr": "Léa", "es": "Nuria", "pt": "Inês", "nl": "Joris", "it": "Sara", "ja": "陽菜"}


def sample(language: str, house: brand.Brand) -> DraftFacts:
    """A made-up invoice of 1,345.00, twelve days past due, for a customer who reads `language`."""
    today = dt.date(2026, 3, 27)
    link = "https://example.chargebee.com/pages/v4/sample"
    currency = {"ja": "JPY", "en": "GBP"}.get(language, "EUR")
    return DraftFacts(
        customer=Customer(_PEOPLE.get(language, "Rosa"), "Tulpenhof", language),
        vendor=settings.VENDOR_NAME,
        invoice=Invoice("in_sample", "INV-2041", Money(134500, currency), today - dt.timedelta(26), today - dt.timedelta(12)),
        payment_link=f"{link}/pay",
        update_card_link=f"{link}/update_card",
        sender_name=house.sender_name or settings.VENDOR_NAME,
        signature=house.signature,
        support_email=settings.SUPPORT_EMAIL,
        today=today,
        card=Card("Visa", "4242"),
    )


def message(language: str, stage: str, tone: str, house: brand.Brand) -> tuple[RenderedMessage, list[str]]:
    """The built-in writer's mail with the brand's values, and what the verifier says of it in plain words."""
    about = sample(language, house)
    case = {
        "language": language,
        "channel": "email",
        "tone": tone,
        "stage": stage,
        "reason_category": "insufficient_funds",
        "allowed_slots": tuple(slots_for(about)),
    }
    words = built_in.compose(case)
    shown = render(SlotDraft(words["subject"], words["body"]), about)
    found = verify(DraftText(shown.subject, shown.text), about, DraftPolicy(forbidden_words=house.forbidden_words))
    return shown, [f"{RULES[finding.rule]}: “{finding.found}”" for finding in found]


@console_page
@require_GET
def preview(request: ConsoleRequest) -> HttpResponse:
    """One mail in one language, with the values in force or those in the form."""
    form = request.GET
    row = Policy.objects.filter(key=brand.KEY).first()
    params = dict(row.params) if row is not None else {}
    for key in ("sender_name", "signature"):
        if key in form:
            params[key] = form[key]
    for key in ("do", "do_not", "forbidden_words"):
        if key in form:
            params[key] = form[key].splitlines()
    house = brand.of(params)

    def chosen(key: str, known: tuple[str, ...]) -> str:
        return form[key] if form.get(key) in known else known[0]

    known = tuple(sorted(built_in.languages(), key=lambda code: (code != "en", code)))
    language, stage, tone = chosen("language", known), chosen("stage", STAGES), chosen("tone", TONES)
    mail, findings = message(language, stage, tone, house)
    context = {
        "house": house,
        "mail": mail,
        "findings": findings,
        "choices": [("language", known, language), ("stage", STAGES, stage), ("tone", TONES, tone)],
        "lists": [(key, "\n".join(getattr(house, key))) for key in ("do", "do_not", "forbidden_words")],
    }
    return show(request, "console/brand.html", "How messages look", context)
