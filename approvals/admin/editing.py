"""The draft as something to edit: slots as chips that cannot be broken, findings in words."""

from __future__ import annotations

import re

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from approvals.drafts.facts import Channel, DraftFacts
from approvals.drafts.findings import RULES, Finding
from approvals.drafts.slots import SLOTS, Chip, parse, slots_for

_LINK = re.compile(r"\[([^\]\[\n]{1,80})\]\(\s*\{\{\s*(links\.[a-z_]+)\s*\}\}\s*\)")


def chip(raw: str, shown: str, label: str, *, is_link: bool = False) -> SafeString:
    """One chip: `data-raw` is what the editor writes back, the text is what the customer will read in its place."""
    return format_html(
        '<span class="chip{}" contenteditable="false" data-raw="{}" title="{}">{}</span>',
        " chip-link" if is_link else "",
        raw,
        label,
        shown,
    )


def as_chips(template: str, facts: DraftFacts | None, channel: Channel) -> SafeString:
    """A template as HTML: words as text, slots as chips, everything escaped. Without facts the chips say what they stand for."""
    values = slots_for(facts, channel) if facts else {}
    pieces: list[str] = []
    position = 0
    for link in _LINK.finditer(template):
        pieces.append(_stretch(template[position : link.start()], values))
        slot = SLOTS.get(link.group(2))
        pieces.append(chip(link.group(0), link.group(1), slot.label if slot else link.group(2), is_link=True))
        position = link.end()
    pieces.append(_stretch(template[position:], values))
    return mark_safe("".join(pieces))  # noqa: S308  # every piece is escaped or made by format_html


def _stretch(text: str, values: dict[str, str]) -> str:
    pieces: list[str] = []
    for segment in parse(text):
        if isinstance(segment, Chip):
            slot = SLOTS.get(segment.name)
            pieces.append(
                chip(segment.text, values.get(segment.name) or (slot.label if slot else segment.name), slot.label if slot else "not a slot")
            )
        else:
            pieces.append(escape(segment.text))
    return "".join(pieces)


def insertable(facts: DraftFacts, channel: Channel) -> list[dict[str, str]]:
    """The slots that may be put into this message, with what each would show."""
    return [
        {"raw": f"{{{{ {name} }}}}", "label": SLOTS[name].label, "shown": value.split("\n")[0][:60]}
        for name, value in slots_for(facts, channel).items()
    ]


def finding_words(finding: Finding) -> dict[str, object]:
    """A finding for a person: the rule in words, what was found, what would be right."""
    return {**finding.as_dict(), "title": RULES.get(finding.rule, finding.rule)}
