"""The whole job in a real browser against the simulated site: edit, approve, the mail arrives, the customer pays, the case is recovered."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from approvals.drafts.locales import money_text
from billing_ai.integrations.chargebee import reads
from tests.flows.conftest import World, site, world  # noqa: F401  # fixtures of the same simulated site

pytestmark = pytest.mark.django_db(transaction=True)


def test_from_a_failed_payment_to_a_recovered_case(sign_in: Callable[..., Page], world: World) -> None:  # noqa: F811
    customer = world.customer("de")
    invoice_id = world.fail(customer)
    world.hear()
    page = sign_in(world.people["specialist"])
    page.locator("tr[data-row] .what > a").first.click()
    expect(page.get_by_role("button", name="Approve & next")).to_be_visible()
    page.keyboard.press("e")
    expect(page.get_by_role("textbox", name="Text")).to_be_focused()
    page.keyboard.press("Control+Home")
    for key in ("ArrowDown", "ArrowDown", "End"):
        page.keyboard.press(key)
    page.keyboard.type(" Vielen Dank für Ihre Geduld.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text(re.compile("edited by .*revision 2"))).to_be_visible()

    page.keyboard.press("Shift+A")
    expect(page.get_by_role("status").filter(has_text="Approved")).to_be_visible()
    if world.proposal(invoice_id, "send_message").status == "waiting_second":
        second = sign_in(world.people["lead"], path=f"/console/case/{world.case(invoice_id).pk}/")
        expect(second.get_by_text("it waits for a lead who is somebody else").first).to_be_visible()
        second.keyboard.press("Shift+A")
        expect(second.get_by_role("status").filter(has_text="Approved")).to_be_visible()
    world.act()
    carried_out = {
        one.action: (one.status, one.execution.status, one.execution.reason)
        for one in world.case(invoice_id).proposals.filter(execution__isnull=False)
    }
    message = world.proposal(invoice_id, "send_message")
    assert carried_out.get("send_message", [""])[0] == "done", (
        carried_out,
        message.status,
        message.status_reason,
        message.current.findings,
        message.verdict,
    )

    mail = world.mail_to(customer)[-1]
    case = world.case(invoice_id)
    amount = money_text(case.amount_due, customer["locale"])
    text = " ".join(str(mail["text"]).replace("\u00a0", " ").split())
    assert "Vielen Dank für Ihre Geduld." in text
    assert amount.replace("\u00a0", " ") in text
    _pay(str(mail["text"]))
    world.hear()
    assert world.case(invoice_id).status == "recovered"
    assert not world.case(invoice_id).proposals.filter(status__in=("waiting", "waiting_second", "approved")).exists()
    page.goto(f"/console/case/{case.pk}/")
    expect(page.get_by_text("Recovered").first).to_be_visible()


def test_chargebee_is_told_where_to_send_its_events(sign_in: Callable[..., Page], world: World, settings: Any) -> None:  # noqa: F811
    """The page of the set-up against the simulated site: what is missing is said, a lead has it made, and then it is no longer missing."""
    settings.CHARGEBEE_WEBHOOK_USER, settings.CHARGEBEE_WEBHOOK_PASSWORD = "billing", "a-long-password"
    settings.PUBLIC_URL = "https://billing.example"
    looker = sign_in(world.people["auditor"], path="/console/chargebee/")
    expect(looker.get_by_text("A lead can order this.")).to_be_visible()
    expect(looker.get_by_role("button", name="Create the webhook")).to_have_count(0)
    page = sign_in(world.people["lead"], path="/console/chargebee/")
    page.get_by_role("button", name="Create the webhook").click()
    expect(page.get_by_text("Chargebee sends its events to https://billing.example/webhooks/chargebee/")).to_be_visible()
    expect(page.get_by_role("button", name="Create the webhook")).to_have_count(0)
    (made,) = [one for one in reads.list_webhook_endpoints() if str(one["url"]).startswith("https://billing.example/")]
    assert made["enabled_events"]


def test_tickets_of_the_help_desk_stand_in_the_time_line(sign_in: Callable[..., Page], world: World) -> None:  # noqa: F811
    """Over HTTP from the simulated help desk: what the customer wrote, what we opened, and that it cannot be asked."""
    customer, other = world.customer("de"), world.customer("fr")
    invoice_id = world.fail(customer)
    world.hear()
    case = world.case(invoice_id)
    desk = httpx.Client(
        base_url=f"{world.site.base_url}/zendesk", auth=("agent@northwind.example/token", "simulator"), follow_redirects=True
    )

    def write(who: dict[str, Any], subject: str) -> int:
        asked = {"subject": subject, "comment": {"body": "Please help."}, "requester": {"name": "A customer", "email": who["email"]}}
        return int(desk.post("/api/v2/tickets.json", json={"ticket": asked}).raise_for_status().json()["ticket"]["id"])

    theirs, another = write(customer, "The amount is <b>wrong</b>"), write(other, "Somebody else's")
    page = sign_in(world.people["specialist"], path=f"/console/case/{case.pk}/")
    line = page.locator("section", has=page.get_by_role("heading", name="Timeline"))
    expect(line).to_contain_text("The amount is <b>wrong</b> · new")
    expect(line.get_by_role("link", name=f"Ticket {another}")).to_have_count(0)
    address = line.get_by_role("link", name=f"Ticket {theirs}").get_attribute("href")
    assert "The amount is" in desk.get(str(address)).raise_for_status().text

    page.keyboard.press("m")
    page.locator("summary", has_text="Escalate").click()
    page.get_by_label("Why", exact=True).last.fill("They say that the amount is wrong.")
    page.get_by_role("button", name="To the help desk").click()
    expect(page.get_by_role("status").filter(has_text="A help-desk ticket")).to_be_visible()
    world.act()
    page.goto(f"/console/case/{case.pk}/")
    expect(line.get_by_role("link", name=re.compile("^Ticket "))).to_have_count(2)

    world.site.post("/control/faults", kind="status", method="GET", path="zendesk", status=503)
    page.goto(f"/console/case/{case.pk}/")
    expect(line.get_by_role("status")).to_contain_text("The help desk could not be asked")
    expect(line).to_contain_text("Case opened")


def _pay(mail: str) -> None:
    """As the customer does: open the page behind the link in the mail and press the button."""
    link = re.search(r"https?://\S+/(?:pay|pages)/\S+", mail)
    assert link is not None, mail
    with httpx.Client(timeout=20, follow_redirects=True) as client:
        opened = client.get(link.group(0).rstrip(".,)")).raise_for_status()
        form = re.search(r'action="(/pay/[^"]+/pay)"', opened.text)
        assert form is not None, opened.text[:500]
        client.post(str(opened.url.join(form.group(1)))).raise_for_status()
