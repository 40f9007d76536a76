"""`python -m tests.browser.draft_pictures`: twelve messages of the built-in writer as they look in a mailbox, for `docs/guide/drafts.md`.

Six languages, mails and text messages, every stage and tone. Needs no server and no database: the facts are made up here, the words are the writer's,
the pages are what would be sent. Ends with 1 when the verifier finds anything in one of them.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ai.settings")
django.setup()

from playwright.sync_api import sync_playwright  # noqa: E402 - the models behind the writer need Django first

from approvals.drafts import built_in  # noqa: E402
from approvals.drafts.facts import DraftFacts  # noqa: E402
from approvals.drafts.findings import DraftText  # noqa: E402
from approvals.drafts.locales import is_right_to_left  # noqa: E402
from approvals.drafts.render import RenderedMessage, SlotDraft, render  # noqa: E402
from approvals.drafts.verify import verify  # noqa: E402
from tests.browser.screenshots import ARGS  # noqa: E402
from tests.unit.llm.cases import case, facts  # noqa: E402

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "guide" / "pictures" / "drafts"


@dataclass(frozen=True, slots=True)
class Shown:
    """One message of the guide."""

    name: str
    locale: str
    category: str
    stage: str
    tone: str
    channel: str = "email"
    several: bool = False
    value: str = "standard"


TWELVE = (
    Shown("01-en-first-notice", "en-GB", "insufficient_funds", "first_notice", "warm"),
    Shown("02-en-last-notice", "en-US", "do_not_honor", "last_notice", "firm", value="high"),
    Shown("03-de-card", "de-DE", "expired_card", "first_notice", "neutral"),
    Shown("04-de-several", "de-CH", "insufficient_funds", "reminder", "warm", several=True),
    Shown("05-fr-confirm", "fr-FR", "auth_required", "first_notice", "warm"),
    Shown("06-fr-reminder", "fr-FR", "mandate", "reminder", "neutral"),
    Shown("07-es-apology", "es-ES", "processor_error", "apology", "warm"),
    Shown("08-es-bank", "es-MX", "do_not_honor", "first_notice", "neutral"),
    Shown("09-pt-several", "pt-BR", "insufficient_funds", "last_notice", "neutral", several=True),
    Shown("10-ja-card", "ja-JP", "expired_card", "first_notice", "neutral"),
    Shown("11-en-sms", "en-GB", "insufficient_funds", "first_notice", "neutral", channel="sms"),
    Shown("12-de-sms", "de-DE", "expired_card", "reminder", "neutral", channel="sms"),
)

_MAIL = (
    '<!doctype html><meta charset="utf-8"><body style="margin:0;background:#eef0f3;font:14px/1.5 -apple-system,Segoe UI,Roboto,Arial,sans-serif;'
    'color:#1c2024"><div style="margin:14px;background:#fff;border:1px solid #d5d9de;border-radius:8px;overflow:hidden">'
    '<div style="padding:14px 24px;border-bottom:1px solid #d5d9de" dir="{direction}"><div style="font-size:18px;font-weight:600">{subject}</div>'
    '<div style="color:#5b6470">{sender} &lt;{address}&gt;</div></div>{content}</div></body>'
)
_PHONE = (
    '<!doctype html><meta charset="utf-8"><body style="margin:0;background:#eef0f3;font:16px/1.45 -apple-system,Segoe UI,Roboto,Arial,sans-serif;'
    'color:#1c2024"><div style="margin:14px"><div style="color:#5b6470;font-size:13px;margin-bottom:6px">{sender} · {segments} text message(s)</div>'
    '<div style="background:#fff;border:1px solid #d5d9de;border-radius:16px;padding:12px 16px;max-width:380px;overflow-wrap:anywhere;white-space:pre-line">{content}</div>'
    "</div></body>"
)


def written(shown: Shown) -> tuple[RenderedMessage, DraftFacts]:
    """The message and the facts it was rendered with. Raises RuntimeError, with the rules, when the verifier finds anything in it."""
    about = facts(shown.locale, several=shown.several, channel=shown.channel)
    about = replace(about, opt_out_link="https://billing.orbitaldesk.example/unsubscribe/cus_x3Yb521wQ:Fh2k9")
    answer = built_in.compose(
        case(about, category=shown.category, stage=shown.stage, tone=shown.tone, channel=shown.channel, value=shown.value)
    )
    message = render(SlotDraft(answer["subject"], answer["body"], answer["channel"]), about)
    footer = message.footer if message.channel == "sms" else ""
    found = verify(DraftText(message.subject, message.text, message.channel, footer), about)
    if found:
        raise RuntimeError(f"{shown.name}: {', '.join(finding.rule for finding in found)}")
    return message, about


def page_of(message: RenderedMessage, about: DraftFacts) -> str:
    """The message inside a plain mail reader or telephone."""
    if message.html is None:
        return _PHONE.format(sender=escape(about.vendor), segments=message.sms_segments, content=escape(message.whole_text))
    content = message.html.split("<body", 1)[1].split(">", 1)[1].split("</body>")[0]
    return _MAIL.format(
        direction="rtl" if is_right_to_left(message.locale) else "ltr",
        subject=escape(message.subject),
        sender=escape(about.sender_name),
        address=escape(about.support_email),
        content=content,
    )


def main() -> int:
    """Take all pictures; the exit code says whether that worked."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("Chromium is not on the path; install it or set CHROMIUM.")
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    pages = [(shown, page_of(*written(shown))) for shown in TWELVE]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGS)
        context = browser.new_context(viewport={"width": 680, "height": 200}, offline=True)
        page = context.new_page()
        for shown, content in pages:
            page.set_content(content)
            page.screenshot(path=PICTURES / f"{shown.name}.png", full_page=True)
        browser.close()
    print(f"{len(pages)} pictures in {PICTURES.name}/")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
