"""A template of words and slots, and the facts of one case, rendered in the customer's locale as text and as plain, accessible HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import Literal

from approvals.drafts.facts import Channel, DraftFacts
from approvals.drafts.footer import footer_words
from approvals.drafts.locales import babel_locale, date_text, is_right_to_left, language_of, money_text
from approvals.drafts.slots import SLOTS, Chip, problems
from approvals.drafts.slots import parse as parse_slots
from approvals.drafts.sms import size, to_gsm_spacing


class SlotError(ValueError):
    """A template names a slot that is unknown or has no fact in this case; `slot` is its name."""

    def __init__(self, slot: str, reason: str) -> None:
        super().__init__(f"slot {slot!r} {reason}")
        self.slot = slot
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SlotDraft:
    """What a model or a template writes: words, with facts named by slot only."""

    subject: str
    body: str
    channel: Channel = "email"


@dataclass(frozen=True, slots=True)
class SlotSpan:
    """Where in the rendered text a slot's value stands: `part[start:end]` is the value of `slot`."""

    part: Literal["subject", "body"]
    start: int
    end: int
    slot: str


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """A message as it will be sent: `text`, and under it `footer`. `html` holds both, and is None for a text message; `sms_segments` is 0 for a
    mail. Spans are those of `subject` and `text`."""

    subject: str
    text: str
    html: str | None
    sms_segments: int
    spans: tuple[SlotSpan, ...]
    channel: Channel = "email"
    locale: str = "en-US"
    footer: str = ""

    @property
    def whole_text(self) -> str:
        """The text part, footer and all."""
        return f"{self.text}\n\n{self.footer}" if self.footer else self.text


_MARKDOWN_LINK = re.compile(r"\[([^\]\[\n]{1,80})\]\(\s*(\{\{\s*links\.[a-z_]+\s*\}\})\s*\)")
_SIGNS = re.compile(r"(\{\{\s*sender\.name\s*\}\})(?:\n\{\{\s*vendor\.name\s*\}\})?\s*\Z")
_LABEL_BREAK = {"ja": "：", "zh": "：", "fr": "\u00a0: "}


def _plain_links(template: str, language: str) -> str:
    """`[label]({{ links.pay }})` as `label: {{ links.pay }}`: the same words for those who read the text part."""
    separator = _LABEL_BREAK.get(language, ": ")
    return _MARKDOWN_LINK.sub(lambda found: f"{found.group(1)}{separator}{found.group(2)}", template)


def _fill(template: str, part: Literal["subject", "body"], facts: DraftFacts, locale: str, channel: Channel) -> tuple[str, list[SlotSpan]]:
    pieces: list[str] = []
    spans: list[SlotSpan] = []
    length = 0
    for segment in parse_slots(template):
        text = segment.text
        if isinstance(segment, Chip):
            value = SLOTS[segment.name].value(facts, locale, channel)
            if value is None:
                raise SlotError(segment.name, "has no fact in this case")
            text = to_gsm_spacing(value) if channel == "sms" and SLOTS[segment.name].kind in ("money", "date", "number") else value
            spans.append(SlotSpan(part, length, length + len(text), segment.name))
        elif channel == "sms":
            text = to_gsm_spacing(text)
        pieces.append(text)
        length += len(text)
    return "".join(pieces), spans


def _signed(body: str, facts: DraftFacts, channel: Channel) -> str:
    """The body with the vendor's signature under a sender who signs at its end, and no name twice where the vendor itself signs."""
    found = _SIGNS.search(body)
    if found is None or channel == "sms":
        return body
    end = found.group(1) if facts.sender_name == facts.vendor else found.group(0)
    return body[: found.start()] + end + (f"\n{facts.signature}" if facts.signature else "")


def render(draft: SlotDraft, facts: DraftFacts, locale: str | None = None) -> RenderedMessage:
    """The message with every slot filled from `facts`, in `locale` (by default the customer's). Raises SlotError, which names the slot."""
    tag = locale or facts.customer.locale
    for template in (draft.subject, draft.body):
        for problem in problems(template, facts, draft.channel):
            raise SlotError(problem.name, problem.reason)
    subject, subject_spans = _fill(" ".join(draft.subject.split()), "subject", facts, tag, draft.channel)
    body = _signed(draft.body.strip("\n"), facts, draft.channel)
    text, body_spans = _fill(_plain_links(body, language_of(tag)), "body", facts, tag, draft.channel)
    is_sms = draft.channel == "sms"
    opt_out = "" if is_sms or (facts.opt_out_link or "") in text else str(facts.opt_out_link)
    return RenderedMessage(
        subject="" if is_sms else subject,
        text=text,
        html=None if is_sms else _html(subject, body, facts, tag, opt_out),
        sms_segments=size(text).segments if is_sms else 0,
        spans=tuple(body_spans if is_sms else subject_spans + body_spans),
        channel=draft.channel,
        locale=tag,
        footer=f"{footer_words(tag)[0]} {opt_out}" if opt_out else "",
    )


# Inline styles only: mail programs drop style sheets. Colours keep a contrast of 7:1 and more, on white and on the button.
_PAGE = (
    '<!doctype html>\n<html lang="{lang}" dir="{direction}">\n<head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title></head>\n'
    '<body style="margin:0;padding:0;background:#ffffff">\n'
    '<div role="article" lang="{lang}" dir="{direction}" style="max-width:36rem;margin:0 auto;padding:1.5rem;'
    "font:16px/1.6 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;color:#1c2024\">\n{content}\n</div>\n</body>\n</html>\n"
)
_BUTTON = (
    '<a href="{href}" style="display:inline-block;padding:.7rem 1.2rem;border-radius:.4rem;background:#1f4b99;color:#ffffff;'
    'text-decoration:none;font-weight:600">{label}</a>'
)
_FOOTER = (
    '<p lang="{lang}" style="margin:2rem 0 0;padding-top:.8rem;border-top:1px solid #d5d9de;font-size:13px;color:#4a5058">{words} '
    '<a href="{href}" style="color:#1f4b99;overflow-wrap:anywhere">{href}</a></p>'
)
_CELL = 'style="padding:.4rem .6rem;border-bottom:1px solid #d5d9de;text-align:{align}"'


def _table(facts: DraftFacts, tag: str) -> str:
    rows = "".join(
        f'<tr><th scope="row" {_CELL.format(align="start")}>{escape(invoice.number)}</th>'
        f"<td {_CELL.format(align='start')}>{escape(date_text(invoice.due_date, tag, 'medium'))}</td>"
        f"<td {_CELL.format(align='end')}>{escape(money_text(invoice.amount_due, tag))}</td></tr>"
        for invoice in facts.open_invoices
    )
    return f'<table style="border-collapse:collapse;width:100%;margin:0 0 1rem">{rows}</table>'


def _inline(line: str, facts: DraftFacts, tag: str) -> str:
    """One line as HTML: words escaped, links and addresses as anchors, all from slots."""
    out: list[str] = []
    position = 0
    for found in _MARKDOWN_LINK.finditer(line):
        out.append(_values(line[position : found.start()], facts, tag))
        href = SLOTS[found.group(2).strip("{} ")].value(facts, tag, "email") or ""
        button = found.group(0) == line.strip()
        label = _values(found.group(1), facts, tag)
        out.append(_BUTTON.format(href=escape(href), label=label) if button else f'<a href="{escape(href)}">{label}</a>')
        position = found.end()
    out.append(_values(line[position:], facts, tag))
    return "".join(out)


def _values(text: str, facts: DraftFacts, tag: str) -> str:
    out: list[str] = []
    for segment in parse_slots(text):
        if not isinstance(segment, Chip):
            out.append(escape(segment.text))
            continue
        slot = SLOTS[segment.name]
        value = slot.value(facts, tag, "email") or ""
        if slot.kind == "link":
            out.append(f'<a href="{escape(value)}" style="color:#1f4b99;overflow-wrap:anywhere">{escape(value)}</a>')
        elif slot.kind == "mail":
            out.append(f'<a href="mailto:{escape(value)}" style="color:#1f4b99">{escape(value)}</a>')
        else:
            out.append(escape(value).replace("\n", "<br>"))
    return "".join(out)


def _html(subject: str, body: str, facts: DraftFacts, tag: str, opt_out: str) -> str:
    blocks: list[str] = []
    for paragraph in re.split(r"\n\s*\n", body):
        lines = paragraph.strip("\n").split("\n")
        kept: list[str] = []
        for line in [*lines, None]:
            is_table = line is not None and re.fullmatch(r"\s*\{\{\s*invoices\.open_list\s*\}\}\s*", line) is not None
            if line is not None and not is_table:
                kept.append(line)
                continue
            if kept and any(part.strip() for part in kept):
                inner = "<br>\n".join(_inline(part, facts, tag) for part in kept)
                blocks.append(f'<p style="margin:0 0 1rem">{inner}</p>')
            kept = []
            if is_table:
                blocks.append(_table(facts, tag))
    if opt_out:
        words, language = footer_words(tag)
        blocks.append(_FOOTER.format(lang=language, words=escape(words), href=escape(opt_out)))
    locale = babel_locale(tag)
    lang = "-".join(part for part in (locale.language, locale.territory) if part)
    direction = "rtl" if is_right_to_left(tag) else "ltr"
    return _PAGE.format(lang=lang, direction=direction, title=escape(subject), content="\n".join(blocks))
