"""A mail as plain, accessible HTML: one column that fits a telephone, light and dark, from either side. Every link and value in it comes from a slot.

Inline styles, since some mail programs drop style sheets; the one style sheet holds only what dark mode changes. No pictures, so nothing is lost
where they are off. Colours keep a contrast of 7:1 and more.
"""

from __future__ import annotations

import re
import unicodedata
from html import escape

from approvals.drafts.facts import DraftFacts
from approvals.drafts.fixed_words import fixed_words, labelled
from approvals.drafts.locales import babel_locale, date_text, is_right_to_left, money_text
from approvals.drafts.slots import SLOTS, Chip, Words
from approvals.drafts.slots import parse as parse_slots

MARKDOWN_LINK = re.compile(r"\[([^\]\[\n]{1,80})\]\(\s*(\{\{\s*links\.[a-z_]+\s*\}\})\s*\)")
_OPEN_LIST = re.compile(r"\s*\{\{\s*invoices\.open_list\s*\}\}\s*")
_SHORT = 24
"""Characters up to which an amount, a date or a number is kept on one line; a longer one must be able to break on a telephone."""

_DARK = (
    "@media (prefers-color-scheme:dark){.page{background:#16191d!important;color:#e6e9ed!important}.quiet{color:#b4bcc6!important}"
    ".line{border-color:#3f4852!important}.link{color:#9cc2ff!important}.button{background:#9cc2ff!important;color:#10213f!important}}"
)
_PAGE = (
    '<!doctype html>\n<html lang="{lang}" dir="{direction}">\n<head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
    '<meta name="supported-color-schemes" content="light dark"><title>{title}</title>\n<style>{dark}</style></head>\n'
    '<body class="page" style="margin:0;padding:0;background:#ffffff;color:#1c2024">\n'
    '<div role="article" aria-label="{title}" lang="{lang}" dir="{direction}" class="page" style="max-width:576px;margin:0 auto;padding:24px;'
    "font:16px/1.6 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;overflow-wrap:anywhere;word-break:break-word;"
    'background:#ffffff;color:#1c2024">\n{content}\n</div>\n</body>\n</html>\n'
)
_PARAGRAPH = '<p{direction} style="margin:0 0 16px">{inner}</p>'
_BUTTON = (
    '<a href="{href}" class="button" style="display:inline-block;padding:11px 19px;border-radius:6px;background:#1f4b99;color:#ffffff;'
    'text-decoration:none;font-weight:600">{label}</a>'
)
_LINK = '<a href="{href}"{direction} class="link" style="color:#1f4b99">{label}</a>'
_FOOTER = (
    '<p lang="{lang}" dir="{direction}" class="quiet line" style="margin:32px 0 0;padding-top:12px;border-top:1px solid #d5d9de;font-size:13px;'
    'color:#4a5058">{words}{link}</p>'
)
_TABLE = (
    '<table style="border-collapse:collapse;width:100%;margin:0 0 16px"><thead lang="{lang}"><tr>'
    '<th scope="col" class="quiet line" style="{cell};text-align:{start};font-size:13px;font-weight:400;color:#4a5058">{invoice}</th>'
    '<th scope="col" class="quiet line" style="{cell};text-align:{end};font-size:13px;font-weight:400;color:#4a5058">{amount}</th>'
    "</tr></thead><tbody>{rows}</tbody></table>"
)
_ROW = (
    '<tr><th scope="row" class="line" style="{cell};text-align:{start};font-weight:600">{number}<br>'
    '<span lang="{lang}" class="quiet" style="font-size:13px;font-weight:400;color:#4a5058">{due}</span></th>'
    '<td class="line" style="{cell};padding-{start}:12px;text-align:{end};white-space:nowrap;vertical-align:top">{amount}</td></tr>'
)
_CELL = "padding:6px 0;border-bottom:1px solid #d5d9de"


class _Page:
    """One mail while it is written out."""

    def __init__(self, facts: DraftFacts, tag: str) -> None:
        self.facts, self.tag = facts, tag
        self.is_rtl = is_right_to_left(tag)
        self.start, self.end = ("right", "left") if self.is_rtl else ("left", "right")

    def value(self, shown: str, *, may_break: bool) -> str:
        """A slot's value: on one line where it is short, and keeping its own direction in a mail that is read from the right."""
        direction = ' dir="auto"' if self.is_rtl else ""
        style = "" if may_break or len(shown) > _SHORT else ' style="white-space:nowrap"'
        text = escape(shown).replace("\n", "<br>")
        return f"<span{direction}{style}>{text}</span>" if direction or style else text

    def link(self, href: str, label: str, *, is_address: bool = False) -> str:
        direction = ' dir="ltr"' if self.is_rtl and is_address else ""
        return _LINK.format(href=escape(href), direction=direction, label=label)

    def values(self, text: str) -> str:
        """Words escaped, slots filled."""
        out: list[str] = []
        for segment in parse_slots(text):
            if not isinstance(segment, Chip):
                out.append(escape(segment.text))
                continue
            slot = SLOTS[segment.name]
            shown = slot.value(self.facts, self.tag, "email") or ""
            if slot.kind in ("link", "mail"):
                href = f"mailto:{shown}" if slot.kind == "mail" else shown
                out.append(self.link(href, escape(shown), is_address=True))
            else:
                out.append(self.value(shown, may_break=slot.kind in ("name", "offer", "table")))
        return "".join(out)

    def line(self, line: str) -> str:
        """One line: a labelled link that stands alone in it is a button."""
        out: list[str] = []
        position = 0
        for found in MARKDOWN_LINK.finditer(line):
            out.append(self.values(line[position : found.start()]))
            href = SLOTS[found.group(2).strip("{} ")].value(self.facts, self.tag, "email") or ""
            label = self.values(found.group(1))
            is_alone = found.group(0) == line.strip()
            out.append(_BUTTON.format(href=escape(href), label=label) if is_alone else self.link(href, label))
            position = found.end()
        out.append(self.values(line[position:]))
        return "".join(out)

    def paragraph(self, lines: list[str]) -> str:
        """Lines as one paragraph; one whose words are read the other way than the mail, such as one not yet translated, says so."""
        is_rtl = _reads_from_right("\n".join(lines))
        direction = "" if is_rtl is None or is_rtl == self.is_rtl else f' dir="{"rtl" if is_rtl else "ltr"}"'
        return _PARAGRAPH.format(direction=direction, inner="<br>\n".join(self.line(line) for line in lines))

    def table(self) -> str:
        """The open invoices: two columns, so that long numbers and amounts fit a telephone."""
        fixed = fixed_words(self.tag)
        places = {"cell": _CELL, "start": self.start, "end": self.end, "lang": fixed.language}
        rows = "".join(
            _ROW.format(
                number=self.value(invoice.number, may_break=False),
                due=escape(labelled(fixed.due, date_text(invoice.due_date, self.tag, "medium"), fixed.language)),
                amount=self.value(money_text(invoice.amount_due, self.tag), may_break=True),
                **places,
            )
            for invoice in self.facts.open_invoices
        )
        return _TABLE.format(invoice=escape(fixed.invoice), amount=escape(fixed.amount_due), rows=rows, **places)

    def footer(self, opt_out: str) -> str:
        fixed = fixed_words(self.tag)
        direction = "rtl" if is_right_to_left(fixed.language) else "ltr"
        link = self.link(opt_out, escape(fixed.mail_opt_out_link))
        words = escape(fixed.mail_opt_out) + ("" if fixed.mail_opt_out.endswith("：") else " ")  # a full-width colon brings its own space
        return _FOOTER.format(lang=fixed.language, direction=direction, words=words, link=link)


def _reads_from_right(template: str) -> bool | None:
    """Whether the words, slots aside, begin with a letter that is written from the right; None without a letter."""
    words = "".join(segment.text for segment in parse_slots(MARKDOWN_LINK.sub(r"\1", template)) if isinstance(segment, Words))
    first = next((found for found in map(unicodedata.bidirectional, words) if found in ("L", "R", "AL")), None)
    return None if first is None else first != "L"


def page(subject: str, body: str, facts: DraftFacts, tag: str, opt_out: str) -> str:
    """The whole document. `body` is the signed template, every slot of which has its fact; `opt_out` the link under it, or empty."""
    mail = _Page(facts, tag)
    blocks: list[str] = []
    for paragraph in re.split(r"\n\s*\n", body):
        kept: list[str] = []
        for line in [*paragraph.strip("\n").split("\n"), None]:
            is_table = line is not None and _OPEN_LIST.fullmatch(line) is not None
            if line is not None and not is_table:
                kept.append(line)
                continue
            if any(part.strip() for part in kept):
                blocks.append(mail.paragraph(kept))
            kept = []
            if is_table:
                blocks.append(mail.table())
    if opt_out:
        blocks.append(mail.footer(opt_out))
    locale = babel_locale(tag)
    lang = "-".join(part for part in (locale.language, locale.territory) if part)
    direction = "rtl" if mail.is_rtl else "ltr"
    return _PAGE.format(lang=lang, direction=direction, title=escape(subject), dark=_DARK, content="\n".join(blocks))
