"""A template of words and slots, and the facts of one case, rendered in the customer's locale as text and, for a mail, as HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from approvals.drafts import html
from approvals.drafts.facts import Channel, DraftFacts
from approvals.drafts.fixed_words import fixed_words, labelled
from approvals.drafts.locales import language_of
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
    """A message as it will be sent: `text`, and under it `footer`. `html` holds both, and is None for a text message; `sms_segments` counts both,
    and is 0 for a mail. Spans are those of `subject` and `text`."""

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
        """The text part, footer and all: all of a text message."""
        return _with_footer(self.text, self.footer, self.channel)


def _with_footer(text: str, footer: str, channel: Channel) -> str:
    if not footer:
        return text
    gap = "\n" if channel == "sms" else "\n\n"
    return f"{text}{gap}{footer}"


_SAYS_STOP = re.compile(r"(?<![A-Za-z])STOP(?![A-Za-z])")
_SIGNS = re.compile(r"(\{\{\s*sender\.name\s*\}\})(?:\n\{\{\s*vendor\.name\s*\}\})?\s*\Z")
_NAMED_TWICE = re.compile(r"(\{\{\s*sender\.name\s*\}\})\n\{\{\s*vendor\.name\s*\}\}")


def _plain_links(template: str, language: str) -> str:
    """`[label]({{ links.pay }})` as `label: {{ links.pay }}`: the same words for those who read the text part."""
    return html.MARKDOWN_LINK.sub(lambda found: labelled(found.group(1), found.group(2), language), template)


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
    """The body with the vendor's signature under a sender who signs at its end, and no name twice where the vendor itself signs.

    Somebody may have written a line below the names: they are one name there too.
    """
    if channel == "sms":
        return body
    if facts.sender_name == facts.vendor:
        body = _NAMED_TWICE.sub(r"\1", body)
    found = _SIGNS.search(body)
    return body if found is None else body[: found.start()] + found.group(0) + (f"\n{facts.signature}" if facts.signature else "")


def _sms_footer(text: str, facts: DraftFacts, tag: str) -> str:
    """The line about STOP, unless the text itself has one."""
    return to_gsm_spacing(fixed_words(tag).sms_opt_out) if facts.says_stop and not _SAYS_STOP.search(text) else ""


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
    footer = _sms_footer(text, facts, tag) if is_sms else f"{fixed_words(tag).mail_opt_out} {opt_out}" if opt_out else ""
    return RenderedMessage(
        subject="" if is_sms else subject,
        text=text,
        html=None if is_sms else html.page(subject, body, facts, tag, opt_out),
        sms_segments=size(_with_footer(text, footer, draft.channel)).segments if is_sms else 0,
        spans=tuple(body_spans if is_sms else subject_spans + body_spans),
        channel=draft.channel,
        locale=tag,
        footer=footer,
    )
