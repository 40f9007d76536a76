"""What every page owes its reader: no serious fault that axe-core knows, at both widths, light and dark; and names of any kind shown safely."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from playwright.sync_api import Page, expect

from approvals.drafts.untrusted import presentable_name
from approvals.models import Case, Proposal
from approvals.policy import rollout
from audit import export
from audit.actor import person
from audit.models import Entry
from billing_ai.console import site_setup
from billing_ai.integrations.chargebee.setup_check import Finding, Level
from tests import factories
from tests.db.console import orders

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[..., Page]


COLOURS = ("color-contrast", "link-in-text-block")


def faults(page: Page, within: str = "", rules: tuple[str, ...] = ()) -> list[str]:
    """Serious and critical faults, each with the first place. The mail in its frame takes no script, so axe is not sent to look for it."""
    options: dict[str, Any] = {"resultTypes": ["violations"], "iframes": False}
    if rules:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    found = Axe().run(page, within or None, options).response["violations"]
    return [f"{one['id']}: {one['help']} at {one['nodes'][0]['html'][:160]}" for one in found if one["impact"] in ("serious", "critical")]


class Looker:
    """Looks at what a page shows: every rule in light colours at 1280 pixels, then the colours again in the dark on a tablet.

    The page is not loaded twice for that, and the navigation beside it, which is the same everywhere, is looked at where `whole` says so.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.found: dict[str, list[str]] = {}

    def look(self, name: str, *, whole: bool = False) -> None:
        within = "" if whole or not self.page.locator("#main").count() else "#main"
        self.found[name] = faults(self.page, within)
        assert self._width() <= 1280, f"{name} is wider than the screen"
        self._turn(dark=True)
        self.found[f"{name}, dark on a tablet"] = faults(self.page, within, COLOURS)
        assert self._width() <= 820, f"{name} is wider than a tablet"
        self._turn(dark=False)

    def faulty(self) -> dict[str, list[str]]:
        return {where: what for where, what in self.found.items() if what}

    def _width(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollWidth"))

    def _turn(self, *, dark: bool) -> None:
        self.page.set_viewport_size({"width": 820 if dark else 1280, "height": 1180 if dark else 900})
        # As the admin's own script does on loading; colours on their way from one to the other would be neither.
        self.page.evaluate(
            """dark => { document.documentElement.classList.toggle("dark", dark);
                const still = document.getElementById("still") || document.head.appendChild(Object.assign(document.createElement("style"), { id: "still" }));
                still.textContent = "* { transition: none !important; }"; }""",
            dark,
        )


@pytest.fixture
def lena(rules: None) -> Any:
    return factories.user("lead", "lena", first_name="Lena", last_name="Berg")


MAIN = {"queue", "case", "change_policy", "import_suppressions", "batch"}
"""Looked at by name below, in the states that they can be in."""


def test_no_serious_fault_on_the_main_pages(sign_in: SignIn, lena: Any, chargebee: Any) -> None:
    case = factories.case(chargebee, retry_in_days=4, broken_promise=True, tags=["payday"])
    factories.case(chargebee, words=factories.SMS)
    page = sign_in(lena)
    looker = Looker(page)
    for path in ("/console/queue/", "/console/", "/console/rule/policy/contact.frequency/", "/console/suppressions/import/"):
        page.goto(path)
        looker.look(path, whole=path == "/console/queue/")
    page.goto(f"/console/case/{case.pk}/")
    looker.look("case")
    page.keyboard.press("e")
    expect(page.get_by_role("textbox", name="Text")).to_be_visible()
    looker.look("editor")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    expect(page.get_by_text("Why not?")).to_be_visible()
    looker.look("reject")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox")).to_be_focused()
    looker.look("commands", whole=True)
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+A")
    expect(page.locator(".actions form[data-undo]")).to_be_visible()
    looker.look("approved")
    assert looker.faulty() == {}


def test_the_admin_turns_dark_by_the_class_that_these_tests_turn(sign_in: SignIn, lena: Any, chargebee: Any) -> None:
    for dark in (True, False):
        page = sign_in(lena, dark=dark)
        expect(page.locator("html.dark")).to_have_count(int(dark))


def test_no_serious_fault_on_the_other_pages(sign_in: SignIn, lena: Any, chargebee: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What opens on a case, many at once, what is parked, rules, customers, prompts, house style, Chargebee and the API."""
    monkeypatch.setattr(
        site_setup, "check_site", lambda **_: [Finding(f"a.{level.value}", level, f"It is {level.value}.") for level in Level]
    )
    case = factories.case(chargebee, words=factories.GERMAN, locale="de-DE")
    for number in range(3):
        factories.case(chargebee, due_minor=5_000 + number)
    orders.parked(factories.case(chargebee, status="closed"))
    orders.api(case)
    orders.offered(case)
    page = sign_in(lena, path=f"/console/case/{case.pk}/")
    looker = Looker(page)
    page.keyboard.press("g")
    expect(page.get_by_label("In English, for you only")).to_be_visible()
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Log the call")).to_be_visible()
    looker.look("English and a call")
    page.keyboard.press("m")
    looker.look("more orders")
    page.goto("/console/queue/")
    page.locator("[data-all]").check()
    page.get_by_role("button", name="Preview a release").click()
    expect(page.get_by_role("button", name="Release what is ticked")).to_be_visible()
    looker.look("many at once")
    page.get_by_role("button", name="Release what is ticked").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    looker.look("a release")
    paths = [reverse(f"console:{name}", args=args(case)) for name, (_, args) in orders.PAGES.items() if name not in MAIN]
    tables = (
        "approvals/policy/contact.frequency/history/",
        "approvals/execution/",
        "api/apitoken/",
        "case/00000000-0000-4000-8000-000000000000/",
    )
    for path in (*paths, *(f"/console/{path}" for path in tables)):
        page.goto(path)
        looker.look(path)
    assert looker.faulty() == {}


@pytest.mark.parametrize("kind", factories.NAMES)
def test_names_of_any_kind_are_shown_safely(sign_in: SignIn, rules: None, chargebee: Any, kind: str) -> None:
    """The fixture fails the test if any dialog opened or any address outside was asked for."""
    names = factories.NAMES[kind]
    lena = factories.user("lead", "lena", first_name=names["first_name"][:150], last_name=names["last_name"][:150])
    case = factories.case(chargebee, headline=f"Of the kind {kind} <i>x</i>", **names)  # type: ignore[arg-type]
    page = sign_in(lena)

    def is_safe() -> None:
        assert page.locator("#console script, #console img[src=x], .cx script, .cx img[src=x], body b:text-is('co')").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280, f"{page.url} is wider than the screen"

    expect(page.locator("tr[data-row] .what > a")).to_have_text(f"Of the kind {kind} <i>x</i>")
    page.goto(f"/console/case/{case.pk}/")
    is_safe()
    if presentable_name(names["first_name"]):
        expect(page.frame_locator("iframe").locator("body")).to_contain_text(f"Hello {names['first_name']},")
    else:
        expect(page.get_by_text("This text cannot be sent: a slot has no fact in this case.")).to_be_visible()
    page.keyboard.press("n")
    page.get_by_label("Text", exact=True).last.fill(names["first_name"] or "nothing")
    page.get_by_role("button", name="Write down").click()
    expect(page.get_by_role("heading", name="Notes and calls")).to_be_visible()
    is_safe()
    page.goto("/console/queue/")
    page.get_by_label("Name or e-mail, asked of Chargebee and not stored").fill((names["first_name"] or "Ad")[:60])
    page.keyboard.press("Enter")
    page.wait_for_load_state("networkidle")
    is_safe()
    # the page of the customer, the history of a rule that a colleague of such a name changed, and the evidence
    page.goto(f"/console/customers/{case.chargebee_customer_id}/")
    is_safe()
    rollout.change_policy("contact.frequency", lena, reason=names["last_name"][:500] or "None.", params={"messages": 2, "days": 7})
    page.goto("/console/approvals/policy/contact.frequency/history/")
    expect(page.locator("ins").first).to_be_visible()
    is_safe()
    page.goto("/console/rule/policy/contact.frequency/")
    is_safe()
    into = io.BytesIO()
    export.case_pack(case.pk, person(lena), into)
    page.set_content(zipfile.ZipFile(into).read(f"cases/{case.pk}.html").decode())
    expect(page.get_by_role("heading", name="Ledger")).to_be_visible()
    assert page.locator("script, img").count() == 0


def test_twenty_five_decisions_by_keyboard_without_a_page_load(sign_in: SignIn, lena: Any, chargebee: Any) -> None:
    """Steps are key sequences that the page itself counted: one opens the first case, then at most four decide each, whatever its kind."""
    kinds: list[dict[str, Any]] = [
        {"words": factories.ENGLISH},
        {"words": factories.SMS, "locale": "en-GB"},
        {"words": factories.ENGLISH, "currency": "GBP", "overdue_days": 40},
        {"words": factories.ENGLISH, "currency": "JPY", "retry_in_days": 3},
        {"words": factories.ENGLISH, "broken_promise": True, "tags": ["payday"]},
    ]
    for number in range(25):
        factories.case(chargebee, due_minor=20_000 - number * 100, headline=f"Case {number}", **kinds[number % 5])
    page = sign_in(lena)
    page.evaluate("window.steps = 0; addEventListener('keydown', (event) => { if (event.key !== 'Shift') window.steps += 1; }, true)")
    loaded: list[str] = []
    page.on(
        "request",
        lambda request: loaded.append(request.url) if request.is_navigation_request() and request.frame == page.main_frame else None,
    )
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    decisions: list[tuple[str, ...]] = [("a",), ("r", "Space", "Enter"), ("a",), ("s", "Enter"), ("s", "Tab", "Enter")]
    for number in range(25):
        expect(page.locator("[data-page=case] h2").first).to_have_text(f"Case {number}")
        before = page.evaluate("window.steps")
        for key in decisions[number % 5]:
            page.keyboard.press(key)
        assert page.evaluate("window.steps") - before <= 4
    assert list(Entry.objects.filter(kind="console.refused").values_list("data", flat=True)) == []
    expect(page.get_by_text("Nothing waits for a decision.")).to_be_visible()
    assert loaded == []
    assert page.evaluate("window.steps") / 25 <= 4
    cases = Case.objects.filter(snoozed_until__isnull=False).count()
    messages = Proposal.objects.filter(action="send_message")
    decided = {status: messages.filter(status=status).count() for status in ("approved", "rejected", "waiting")}
    assert (cases, decided) == (10, {"approved": 10, "rejected": 5, "waiting": 10})


def test_many_are_released_after_a_preview_and_can_be_stopped(sign_in: SignIn, lena: Any, chargebee: Any) -> None:
    for number in range(4):
        factories.case(chargebee, due_minor=5_000 + number)
    large = factories.case(chargebee, due_minor=90_000)
    page = sign_in(lena)
    page.locator("[data-all]").check()
    expect(page.get_by_text("5 selected")).to_be_visible()
    page.get_by_role("button", name="Preview a release").click()
    expect(page.locator(".tile", has_text="Owed by them")).to_contain_text("€200.06")
    expect(page.get_by_text("The amount is more than 3 times the middle one")).to_be_visible()

    page.get_by_role("button", name="Release what is ticked").click()

    expect(page.get_by_role("heading", name="0 of 4 have gone out or were stopped")).to_be_visible()
    from approvals.models import Execution

    times = list(Execution.objects.order_by("not_before").values_list("not_before", flat=True))
    assert [round((later - sooner).total_seconds()) for sooner, later in pairwise(times)] == [30, 30, 30]
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped: 4 taken back and waiting again.")).to_be_visible()
    assert set(Proposal.objects.values_list("status", flat=True)) == {"waiting"}
    assert large.proposals.get().decisions.count() == 0


def test_the_kill_switch_asks_for_a_reason_and_says_so_everywhere(sign_in: SignIn, lena: Any, chargebee: Any) -> None:
    factories.case(chargebee)
    page = sign_in(lena, path="/console/")
    page.get_by_label("Why", exact=True).fill("Wrong amounts since noon.")
    page.get_by_role("button", name="Stop everything going out").click()
    expect(page.get_by_text("Nothing goes out any more.")).to_be_visible()
    page.goto("/console/queue/")
    expect(page.get_by_text("Wrong amounts since noon.")).to_be_visible()
