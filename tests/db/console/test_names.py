"""A name of any kind is text wherever it is shown: in the mail as HTML and as text, in a text message, on pages, in evidence and in files."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from approvals.contract import Words
from approvals.drafts import built_in
from approvals.drafts.render import RenderedMessage
from approvals.drafts.untrusted import presentable_name
from approvals.models import Case, Suppression
from approvals.policy import consent, rollout
from tests import factories

pytestmark = pytest.mark.django_db
KINDS = list(factories.NAMES)
GREETED = {kind for kind in KINDS if presentable_name(factories.NAMES[kind]["first_name"])}


class _Elements(HTMLParser):
    """The elements of a page with their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _is_safe(page: str) -> None:
    """No element and no attribute of a page came out of a name, and no template in one was filled."""
    for tag, attrs in _Elements(page).found:
        assert not any(name.startswith("on") for name, _ in attrs), (tag, attrs)
        assert ("src", "x") not in attrs
        assert not any(
            (value or "").startswith(("javascript:", "https://evil")) for name, value in attrs if name in ("href", "src", "action")
        )
    assert "<script>alert" not in page
    assert "<b>co</b>" not in page


def _sent(client: Any, case: Case) -> RenderedMessage | None:
    """The message of the case's page, as it would go out."""
    (card,) = client.get(f"/console/case/{case.pk}/").context["cards"]
    found: RenderedMessage | None = card["one"].rendered
    return found


def test_the_kinds_are_of_both_sorts() -> None:
    assert {"right to left", "apostrophe"} == GREETED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_a_message_has_the_name_as_words_or_not_at_all(chargebee: Any, as_user: Any, channel: str, kind: str) -> None:
    client = as_user(factories.user("specialist"))
    names = factories.NAMES[kind]
    words = factories.ENGLISH if channel == "email" else replace(factories.SMS, body="{{ customer.first_name }}, " + factories.SMS.body)
    words = replace(words, subject="{{ customer.first_name }}, your payment") if channel == "email" else words

    first = factories.case(chargebee, words=words, invoice_id="INV-1")
    usual = _sent(client, first)
    other = factories.case(chargebee, words=words, invoice_id="INV-2", **names)  # type: ignore[arg-type]
    sent = _sent(client, other)

    assert usual is not None
    if kind not in GREETED:
        assert sent is None
        return
    assert sent is not None
    name = names["first_name"]
    assert sent.text.replace(name, "Ada").replace("INV-2", "INV-1") == usual.text
    assert sent.subject == usual.subject.replace("Ada", name)
    if channel == "email":
        # Each has a way out of their own.
        out, usual_out = (consent.unsubscribe_url(one.chargebee_customer_id) for one in (other, first))
        shown, before = _Elements((sent.html or "").replace(out, usual_out)), _Elements(usual.html or "")
        assert [tag for tag, _ in shown.found] == [tag for tag, _ in before.found]
        assert shown.text.replace(name, "Ada").replace("INV-2", "INV-1") == before.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_the_writer_does_without_a_name_that_is_none(chargebee: Any, as_user: Any, channel: str, kind: str) -> None:
    """With the slots that this customer has, the built-in writer writes something that can be sent, and nothing of the name is in it."""
    slots: tuple[str, ...] = ("invoice.amount_due", "invoice.number", "invoice.due_date", "links.pay", "support.email", "vendor.name")
    said = built_in.compose(
        {
            "language": "en", "channel": channel, "tone": "warm", "stage": "first_notice", "reason_category": "insufficient_funds",
            "allowed_slots": (*slots, "customer.first_name") if kind in GREETED else slots,
        }
    )  # fmt: skip
    words = Words(channel, "en", "warm", said["subject"], said["body"])  # type: ignore[arg-type]

    sent = _sent(as_user(factories.user("specialist")), factories.case(chargebee, words=words, **factories.NAMES[kind]))  # type: ignore[arg-type]

    assert sent is not None
    _is_safe(sent.html or sent.text)
    for part in factories.NAMES[kind].values():
        assert kind in GREETED or not part or part not in sent.subject + sent.text + _Elements(sent.html or "").text


@pytest.mark.parametrize("kind", KINDS)
def test_pages_and_evidence_show_it_as_text(chargebee: Any, as_user: Any, kind: str) -> None:
    names = factories.NAMES[kind]
    case = factories.case(chargebee, headline=names["first_name"][:200], tags=[names["last_name"][:40]], **names)  # type: ignore[arg-type]
    lead = factories.user("lead", "lena", first_name=names["first_name"][:150], last_name=names["last_name"][:150])
    client = as_user(lead)
    one = case.proposals.get()
    said = " ".join(names.values()).strip() or "nothing"
    client.post(f"/console/case/{case.pk}/note/", {"text": said, "kind": "note"})
    client.post(
        f"/console/proposal/{one.pk}/edit/", {"base_revision": one.current_id, "subject": "S", "body": f"{said}\n{{{{ links.pay }}}}"}
    )
    client.post(f"/console/case/{case.pk}/reject/", {"proposal": str(one.pk), "reason_code": "wrong_tone", "note": said[:500]})
    rollout.change_policy("contact.frequency", lead, reason=said[:500], params={"messages": 2, "days": 7})
    customer = case.chargebee_customer_id

    for path in (
        "queue/?view=all", f"queue/?q={customer}", f"case/{case.pk}/", f"customers/{customer}/", f"contact/{customer}/", f"approvals/case/{case.pk}/change/",
        f"approvals/proposal/{one.pk}/change/", "approvals/policy/contact.frequency/history/", "approvals/policy/contact.frequency/change/", "rule/policy/contact.frequency/",
        "audit/entry/",
    ):  # fmt: skip
        answer = client.get(f"/console/{path}")
        assert answer.status_code == 200, path
        _is_safe(_only_inside(answer.content.decode()))
    _is_safe(_only_inside(client.post("/console/queue/find/", {"who": names["first_name"] or "Ad"}).content.decode()))

    answer = client.post(f"/console/audit/entry/evidence/{case.pk}/")
    pack = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    pages = [pack.read(name).decode() for name in pack.namelist() if name.endswith(".html")]
    assert len(pages) == 2
    for page in pages:
        assert {tag for tag, _ in _Elements(page).found} <= {
            "html", "head", "meta", "title", "style", "body", "div", "h1", "h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "br", "a", "ul", "li", "span", "dl", "dt", "dd",
        }  # fmt: skip
        _is_safe(page)


def _only_inside(page: str) -> str:
    """Our part of the page: the frame around it has handlers of its own."""
    begin = max(page.find('class="cx'), page.find('id="main"'), page.find('id="content"'))
    assert begin > 0
    return page[page.rfind("<", 0, begin) :]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_has_it_in_one_cell_and_calculates_nothing(as_user: Any, kind: str) -> None:
    said = " ".join(factories.NAMES[kind].values()).strip()
    Suppression.objects.create(chargebee_customer_id=f"={kind}", reason=said[:500])
    answer = as_user(factories.user("auditor")).get("/console/approvals/suppression/export/")
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    header, row = csv.reader(io.StringIO(text, newline=""))
    assert len(header) == len(row)
    cell = row[header.index("reason")]
    assert cell.removeprefix("'") == said[:500]
    assert not cell.startswith(("=", "+", "-", "@"))
    assert row[header.index("chargebee_customer_id")] == f"'={kind}"
