"""Mails in a real browser: on a telephone nothing is cut off at the side, whatever the names, numbers and amounts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from approvals.drafts import built_in
from approvals.drafts.render import SlotDraft, render
from billing_ai.kernel.money import Money
from tests.unit.llm.cases import case, every_language, facts

LONG = {
    "first_name": "Maximiliane-Wilhelmine-Friederike",
    "number": "INV-2025-EMEA-000000000060015-RECURRING",
    "vendor": "Orbital Desk Intergalactic Subscription Services International GmbH & Co. KGaA",
}


def page_of(locale: str, *, long: bool) -> str:
    about = replace(facts(locale if locale in every_language() else "en-GB", several=True), opt_out_link="https://pay.example.com/out/abc")
    about = replace(about, customer=replace(about.customer, locale=locale))
    if long:
        invoice = replace(about.invoice, number=LONG["number"], amount_due=Money(98_765_432_109, "IDR"))
        others = tuple(replace(invoice, id=f"in_{n}", number=f"{LONG['number']}-{n}", due_date=date(2025, 1, n)) for n in range(1, 13))
        about = replace(
            about,
            invoice=invoice,
            other_invoices=others,
            vendor=LONG["vendor"],
            customer=replace(about.customer, first_name=LONG["first_name"]),
        )
    known = case(about, category="do_not_honor", stage="last_notice", tone="firm", channel="email", value="high")
    answer = built_in.compose({**known, "language": locale if locale in every_language() else "en"})
    page = render(SlotDraft(answer["subject"], answer["body"]), about).html
    assert page is not None
    return page


@pytest.mark.parametrize("locale", ["de-DE", "fr-FR", "ja-JP", "he-IL"])
def test_a_mail_fits_a_telephone_and_has_no_serious_fault(browser: Browser, locale: str) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 320, "height": 600}, color_scheme=scheme, offline=True)
        page = context.new_page()
        for long in (False, True):
            page.set_content(page_of(locale, long=long))
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, (locale, long)
            cut = page.evaluate(
                "[...document.querySelectorAll('p,th,td,a,span')].filter(e => e.getBoundingClientRect().right > innerWidth + 0.5"
                " || e.getBoundingClientRect().left < -0.5).map(e => e.textContent)"
            )
            assert cut == [], (locale, long)
            found = Axe().run(page).response["violations"]
            assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == [], (locale, long, scheme)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 25, 29)")
        context.close()
