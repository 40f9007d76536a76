"""The form of a message: headers, hidden characters, placeholders, length, shouting."""

from __future__ import annotations

import re
import unicodedata

from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding, PartName
from approvals.drafts.folding import FILL, Reading, fold_pattern
from approvals.drafts.locales import RIGHT_TO_LEFT
from approvals.drafts.sms import size
from approvals.drafts.words import everywhere

_MARKS = frozenset("\u200e\u200f\u061c")
_JOINERS = frozenset("\u200c\u200d")
_HEADER = re.compile(r"(?im)^(?:bcc|cc|to|from|reply-to|subject|content-type|mime-version|x-[a-z-]+|return-path)\s*:\s*\S")
# What texts that nobody finished have in them ("TODO", "tbd"): looked for here, and nothing is left to do in this file.
_PLACEHOLDER = re.compile(
    r"\{\{.*?\}\}|\{%.*?%\}|\$\{[^}\n]*\}|\{\s*[\w .\-]{1,40}\s*\}|\[\s*(?P<inner>[^\]\n]{1,60})\s*\](?!\()|<\s*[\w ]{2,40}\s*>|«\s*\w[\w ]{0,30}\s*»|‹[^›\n]{1,30}›"
    r"|%[A-Za-z_]{3,}%|%\(?[a-z_]{3,}\)?s\b|(?<!\d)(?<!\d\s)%[sd](?!\w)|(?<!\w)@@\w+|__\w+__|(?<!\w)[A-Za-z]{2,}(?:_[A-Za-z]{2,})+(?!\w)|_{3,}|\b(?:x{3,}|X{3,})\b|\b(?:XX|xx)[.,](?:XX|xx|00)\b|\b(?i:dd|jj|gg|tt|aa|yyyy|aaaa|jjjj)[./-](?i:mm)[./-](?i:yyyy|yy|aaaa|jjjj|gggg|rrrr|dd|jj)\b|(?i:\b(?:lorem ipsum|tbd|tbc|to be (?:filled|confirmed|added)|insert (?:\w+ ){0,3}here|fixme)\b)|\bTODO\b"
    r"|(?<![\w'’])(?:undefined|NaN|NULL|None|null|nil|\[object Object\]|N/A|#REF!|#N/A|#VALUE!)(?![\w'’])|[【［〔][^】］〕\n]{0,20}(?:填写|填寫|填入|记入|記入|入力|입력|기입)[^】］〕\n]{0,20}[】］〕]|〇〇|○○|◯◯|●●|××|△△|(?<!\w)\?\?\?+|<<[^>\n]*>>|\$[A-Z_]{4,}\b"
)  # fmt: skip
# What a subject is put under: "[안내] …".
_TAGS = everywhere("subject_tag")
_EMPTY_GREETING = re.compile(
    r"(?m)^(?:hi|hello|dear|hallo|bonjour|hola|ola|ciao|gentile|hej|hei|merhaba|dobry den|liebe[rs]?|beste|estimad[oa]|caro|cara|kaere|kara|sehr geehrte[rs]?)\s+,"
)
_WORD = re.compile(r"[^\W\d_]{2,}(?:['’\-][^\W\d_]+)*")
_ACRONYMS = frozenset(
    [
        "SEPA",
        "IBAN",
        "BIC",
        "VAT",
        "PDF",
        "SMS",
        "USA",
        "URL",
        "FAQ",
        "API",
        "CRM",
        "ERP",
        "SAAS",
        "PIN",
        "CVV",
        "CVC",
        "GMBH",
        "LLC",
        "LTD",
        "INC",
        "PLC",
        "USD",
        "EUR",
        "GBP",
        "JPY",
        "CHF",
        "SEK",
        "NOK",
        "DKK",
        "PLN",
        "CZK",
        "TRY",
        "INR",
        "BRL",
        "MXN",
        "COP",
        "CAD",
        "AUD",
        "NZD",
        "KRW",
        "CNY",
        "HUF",
        "RON",
        "HTTPS",
        "HTTP",
        "ACH",
        "BACS",
        "TVA",
        "IVA",
        "MWST",
        "NIF",
        "SAS",
        "SARL",
        "SRL",
        "SPA",
        "KG",
        "AG",
        "UG",
        "BV",
        "NV",
        "OY",
        "AB",
        "AS",
        "AMEX",
        "VISA",
        "JCB",
        "GST",
        "HST",
        "PST",
        "ABN",
        "PO",
        "ID",
        "HR",
        "IT",
        "CEO",
        "CFO",
        "STOP",
        "HELP",
        "PAY",
        "OK",
        "FTP",
        "LIVE",
        "PIX",
        "OXXO",
        "CLABE",
        "UPI",
        "NEFT",
        "RTGS",
        "KVK",
        "BTW",
    ]
)
_UNUSUAL = re.compile(r"[^\x20-\x7f\n\t\r]")
_LATIN_LOOKALIKES = re.compile(r"[\u0370-\u03ff\u0400-\u052f\u13a0-\u13ff\ua4d0-\ua4ff]")


def check_headers(reading: Reading, case: Case) -> list[Finding]:
    """header_injection: a subject is one line without control characters; a body does not begin with headers."""
    if reading.name == "subject":
        bad = re.search(r"[\r\n\x00-\x08\x0b-\x1f\x7f\u0085\u2028\u2029]", reading.raw)
        if bad is not None:
            return [Finding("header_injection", "block", "subject", bad.span(), repr(bad.group(0)), "one line")]
        if len(reading.raw) > case.policy.max_subject_characters:
            return [
                Finding(
                    "too_long",
                    "block",
                    "subject",
                    (0, len(reading.raw)),
                    f"{len(reading.raw)} characters",
                    f"at most {case.policy.max_subject_characters}",
                )
            ]
        return []
    return [
        finding("prompt_leak", reading, found.start(), found.end(), "no mail headers in the text")
        for found in _HEADER.finditer(reading.plain)
    ]


def check_hidden(reading: Reading, case: Case) -> list[Finding]:
    """hidden_characters: zero-width, bidirectional and control characters, and words that mix alphabets to look like others."""
    findings: list[Finding] = []
    if reading.raw.isascii():
        bad = re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", reading.raw)
        return (
            []
            if bad is None or reading.name == "subject"
            else [Finding("hidden_characters", "block", "body", bad.span(), repr(bad.group(0)), "no control characters")]
        )
    part: PartName = "subject" if reading.name == "subject" else "body"
    is_rtl = case.language in RIGHT_TO_LEFT
    for found in _UNUSUAL.finditer(reading.raw):
        index, character = found.start(), found.group()
        category = unicodedata.category(character)
        if (
            category in ("Cf", "Cc", "Co", "Cs", "Cn")
            or character in "\u115f\u1160\u3164\uffa0\u2800\u034f"
            or "\ufe00" <= character <= "\ufe0f"
        ):
            neighbours = reading.raw[max(0, index - 1) : index] + reading.raw[index + 1 : index + 2]
            if character in _MARKS and is_rtl:
                continue
            if character in _JOINERS and any(
                ord(neighbour) >= 0x600 and unicodedata.category(neighbour) in ("Lo", "Mn", "Mc", "So", "Sk") for neighbour in neighbours
            ):
                continue
            if character == "\ufe0f" and neighbours[:1] and unicodedata.category(neighbours[0]) in ("So", "Sk", "Sm", "Po", "Nd"):
                continue
            findings.append(
                Finding("hidden_characters", "block", part, (index, index + 1), f"U+{ord(character):04X}", "characters a reader can see")
            )
            if len(findings) >= 20:
                return findings
    names = set(re.findall(r"\w+", " ".join(case.names)))
    for found in re.finditer(r"[^\W\d_]{2,}", reading.raw):
        word = found.group(0)
        if word.isascii() or word in names or not _LATIN_LOOKALIKES.search(word):
            continue
        if re.search(r"[A-Za-z\u00c0-\u024f]", word):
            findings.append(Finding("hidden_characters", "block", part, found.span(), word[:120], "one alphabet in a word"))
    return findings


def check_placeholders(reading: Reading, case: Case) -> list[Finding]:
    """placeholder: brackets, template marks, programming's nothing, and blanks nobody filled in. Names have been taken out before."""
    findings: list[Finding] = []
    for found in _PLACEHOLDER.finditer(reading.open):
        inner = found.group("inner")
        if inner is not None and _TAGS.fullmatch(inner.strip()):
            continue
        if inner is not None and (not re.search(r"\w", inner) or (FILL in inner and not re.search(r"[^\W\d_]{3,}", inner))):
            continue
        if FILL in found.group(0) and not re.search(r"\w", found.group(0)):
            continue
        findings.append(finding("placeholder", reading, found.start(), found.end(), "the fact itself"))
    for found in _EMPTY_GREETING.finditer(reading.open_folded):
        findings.append(finding("placeholder", reading, found.start(), found.end(), "a name, or a greeting without one"))
    for words in case.lexicons:
        blanks = words.any_of("placeholder")
        if blanks is not None:
            findings += [
                finding("placeholder", reading, m.start(), m.end(), "the fact itself") for m in blanks.finditer(reading.open_folded)
            ]
    return findings


def check_length(reading: Reading, case: Case, channel: str, footer: str = "") -> list[Finding]:
    """too_long_sms, too_long and empty. The footer of a text message takes its part of the segments; in an alphabet of 70 characters a segment it
    may take one more."""
    policy = case.policy
    if channel == "sms":
        measured = size(f"{reading.raw}\n{footer}" if footer else reading.raw)
        most = policy.max_sms_segments + (1 if footer and measured.encoding == "UCS-2" else 0)
        if measured.segments > most:
            return [
                Finding(
                    "too_long_sms",
                    "block",
                    "body",
                    None,
                    f"{measured.segments} segments of {measured.encoding}",
                    f"at most {most}",
                )
            ]
    if len(reading.raw) > policy.max_body_characters:
        return [Finding("too_long", "block", "body", None, f"{len(reading.raw)} characters", f"at most {policy.max_body_characters}")]
    if not re.search(r"\w", reading.plain):
        return [Finding("empty", "block", "body", None, "", "a message")]
    return []


def check_shouting(reading: Reading, case: Case) -> list[Finding]:
    """false_urgency by form: words in capitals, rows of exclamation marks."""
    findings: list[Finding] = []
    run: list[re.Match[str]] = []

    def close() -> None:
        letters = sum(len(word.group(0)) for word in run)
        is_loud = (len(run) >= 2 and letters >= 8) or (len(run) == 1 and letters >= 7)
        if is_loud:
            findings.append(finding("false_urgency", reading, run[0].start(), run[-1].end(), "no shouting"))
        run.clear()

    for found in _WORD.finditer(reading.open):
        word = found.group(0)
        if run and re.search(r"[^\s,;:\-–—'’!]", reading.open[run[-1].end() : found.start()]):
            close()
        if word.isupper() and word.lower() != word and word not in _ACRONYMS and fold_pattern(word) not in case.known_words:
            run.append(found)
        else:
            close()
    close()
    for found in re.finditer(r"[!！]\s?[!！]+|[!?！？]{3,}", reading.plain):
        findings.append(finding("false_urgency", reading, found.start(), found.end(), "no shouting"))
    if re.search(r"[⚠🚨⏰❗‼🔥]", reading.plain):
        position = re.search(r"[⚠🚨⏰❗‼🔥]", reading.plain)
        if position is not None:
            findings.append(finding("false_urgency", reading, position.start(), position.end(), "no shouting"))
    return findings


def check_forbidden(reading: Reading, case: Case) -> list[Finding]:
    """forbidden_words: what this vendor does not want to say."""
    findings: list[Finding] = []
    for word in case.policy.forbidden_words:
        folded = fold_pattern(word).strip()
        if folded and folded in reading.open_folded:
            for found in re.finditer(rf"(?<!\w){re.escape(folded)}(?!\w)", reading.open_folded):
                findings.append(finding("forbidden_words", reading, found.start(), found.end(), "other words"))
    return findings
