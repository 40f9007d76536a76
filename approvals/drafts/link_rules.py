"""Links, domains, mail addresses and telephone numbers: byte for byte ours, or not at all."""

from __future__ import annotations

import re

from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding
from approvals.drafts.folding import UNSPACED, Reading

# Enough of the root zone to tell a domain from "z.B." and from a missing space after a full stop; a path or a scheme needs no list.
_ZONES = (
    "com net org info biz io co me app dev ai tv cc ly to gl gg xyz top site online shop store click link live club icu cloud page pro tech space "
    "website fun work money pay bank finance credit loan bid win vip ws su mobi name example test invalid local onion zip mov eu uk us ca au nz ie "
    "de at ch fr be nl lu es pt it gr pl cz sk hu ro bg hr si rs ua ru by lt lv ee fi se no dk is tr il in pk bd cn hk tw jp kr sg my id th vn ph "
    "br mx ar cl co pe ve uy za ng ke eg ma ae sa kw qa help support email agency company services solutions group digital media news today"
)
_ZONE = "|".join(sorted(set(_ZONES.split()), key=len, reverse=True))
_STOP = r"\s<>\"'“”„«»（）()\[\]{}|\\^`。，、！？；：」』】（）・…\u0e00-\u0e7f\u3000-\u30ff\u3400-\u9fff\uac00-\ud7a3"
# A letter of a script with spaces: Japanese, Korean and Thai go on right behind an address ("…exampleまで").
_LETTER = rf"[^\W{UNSPACED}]"
_CANDIDATE = re.compile(
    rf"(?P<url>(?i:[a-z][a-z0-9+.-]{{1,11}}:/{{1,3}}|hxxps?:|javascript:|data:|mailto:|tel:|sms:|www\.)[^{_STOP}]+)"
    rf"|(?P<mail>(?:{_LETTER}|[.+%-])+(?:@|\s?\(at\)\s?|\s?\[at\]\s?)(?:{_LETTER}|-)+(?:(?:\.|\s?\[?\(?dot\)?\]?\s?)(?:{_LETTER}|-)+)+)"
    rf"|(?P<domain>(?<![\w@.-])(?:(?i:[a-z0-9¡-￿](?:[\w-]*\w)?)\.)+(?:(?:{_ZONE})|(?:{_ZONE.upper()})|xn--[\w-]+)(?![\w-])(?:[:/?#][^{_STOP}]*)?)"
    rf"|(?P<path>(?<![\w@.-])(?:[a-zA-Z0-9-]+\.)+[a-zA-Z]{{2,24}}/[^{_STOP}]+)"
    rf"|(?P<ip>(?<![\w.])(?!\d{{1,3}}(?:\.\d{{3}}){{3}}(?![\d:/]))\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?![\w.])(?:[:/][^{_STOP}]*)?)"
    r"|(?P<spelled>(?i:\b[\w-]+\s?(?:\[\.\]|\(\.\)|\[dot\]|\(dot\)|\sdot\s)\s?[a-z]{2,12}\b))"
)
_PHONE = re.compile(
    r"(?<![\w.,/-])(?:\+|00)\d[\d\s().\-/]{6,18}\d(?!\w)|(?<![\w.,/-])\(?0\d{1,4}\)?[\s/-]\d[\d\s-]{4,12}\d(?![\w.,])|(?<![\w.,/-])1?[-. ]?\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}(?!\w)"
)
_MARKUP = re.compile(
    r"(?i)<\s*/?\s*(?:a|b|i|u|p|br|hr|img|div|span|table|t[rdh]|script|style|iframe|form|input|button|svg|html|head|body|link|meta|base|object|embed|font|h[1-6]|ul|ol|li|em|strong|center|video|audio)\b[^>\n]{0,200}>|<!--|\bon(?:click|error|load)\s*="
)


def check_links(reading: Reading, case: Case) -> list[Finding]:
    """unknown_link over everything that could be followed, dialled or written to; what was judged is blanked out."""
    findings: list[Finding] = []
    facts = case.facts
    allowed = " or ".join(sorted(case.links))
    for found in _CANDIDATE.finditer(reading.plain):
        start, end = found.span()
        raw_start, raw_end = reading.span(start, end)
        raw = reading.raw[raw_start:raw_end]
        kind = found.lastgroup
        exact = raw.rstrip(".,;:!?'*_~")
        if kind == "mail":
            if exact != facts.support_email:
                findings.append(finding("unknown_link", reading, start, end, facts.support_email))
        elif kind == "url" and raw.lower().startswith("mailto:"):
            if exact.partition(":")[2] != facts.support_email:
                findings.append(finding("unknown_link", reading, start, end, facts.support_email))
        elif exact not in case.links and raw not in case.links:
            is_name = kind == "domain" and _is_in_a_name(found.group(0), case)
            is_attached = reading.plain[max(0, start - 1) : start] in ("/", "@", ".")
            if is_name and not is_attached:
                continue
            findings.append(finding("unknown_link", reading, start, end, allowed))
        trailing = len(raw) - len(exact)
        reading.blank(start, max(start + 1, end - trailing))
    for found in _MARKUP.finditer(reading.open):
        findings.append(finding("unknown_link", reading, found.start(), found.end(), "plain words without markup"))
        reading.blank(*found.span())
    return findings


def check_phones(reading: Reading, case: Case) -> list[Finding]:
    """unknown_link over telephone numbers: none is in the facts. Runs after dates and amounts have been taken out."""
    findings: list[Finding] = []
    for found in _PHONE.finditer(reading.open):
        findings.append(finding("unknown_link", reading, found.start(), found.end(), case.facts.support_email))
        reading.blank(*found.span())
    return findings


def check_has_link(reading: Reading, case: Case) -> list[Finding]:
    """missing_payment_link unless one of the two links stands in the body, whole."""
    if not case.policy.require_link or not case.facts.is_about_invoice:
        return []
    for link in (case.facts.payment_link, case.facts.update_card_link):
        position = reading.raw.find(link)
        while position >= 0:
            following = reading.raw[position + len(link) : position + len(link) + 2]
            preceding = reading.raw[max(0, position - 1) : position]
            if not re.match(r"[A-Za-z0-9_\u00c0-\u052f/@%&=#~-]|[?.][\w=&%]", following) and not re.match(r"[A-Za-z0-9@/._-]", preceding):
                return []
            position = reading.raw.find(link, position + 1)
    return [Finding("missing_payment_link", "block", "body", None, "", f"{case.facts.payment_link} or {case.facts.update_card_link}")]


def _is_in_a_name(domain: str, case: Case) -> bool:
    """Whether a bare domain is a trading name ("Booking.com" as the company)."""
    names = (case.facts.customer.company or "", case.facts.vendor, *(line.description for line in case.facts.invoice.line_items))
    return any(re.search(rf"(?<![\w.-]){re.escape(domain.rstrip('.,'))}(?![\w.-])", name) for name in names)
