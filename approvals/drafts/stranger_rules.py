"""Names that are nobody's here: other companies, other people, and ours said wrong."""

from __future__ import annotations

import re

from approvals.drafts.calendars import calendar
from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding
from approvals.drafts.folding import FILL, LETTERS, Reading, fold_pattern
from approvals.drafts.locales import proper_words
from approvals.drafts.name_rules import ANY_LETTERS, RARE_SMALL, is_form_of, is_ordinary, vocabulary
from approvals.drafts.words import everywhere, languages_of_words

_LEGAL = (
    r"GmbH|AG|KG|UG|Ltd|Limited|Inc|LLC|LLP|PLC|Corp|Corporation|SARL|SAS|S\.A\.|SA|S\.r\.l\.|Srl|SRL|S\.p\.A\.|SpA|S\.L\.|SL|B\.V\.|BV|N\.V\.|NV|Oy|Oyj|AB|A/S|ApS|AS|Ltda|LTDA|s\.r\.o\."
    r"|a\.s\.|Sp\. z o\.o\.|A\.Ş\.|Kft|Zrt|Pty|Pte|OÜ|SIA|UAB|d\.o\.o\."
)
_COMPANY = re.compile(rf"(?<![\w{FILL}])((?:[^\W\d_a-z][\w&'’.-]*[ ]){{1,4}})(?:{_LEGAL})(?![\w])")
_CJK_COMPANY = re.compile(r"(?:株式会社|有限会社|合同会社|㈱)[\w]{1,12}|[^\W\d_]{1,12}(?:株式会社|有限公司|주식회사)|주식회사 ?\w{1,12}")
_FOR_WHOM = re.compile(
    rf"{FILL}[)\]]?[,\s]+(?:\w{{1,12}}\s){{0,3}}?(?:for|to|from|für|an|von|bei|pour|chez|à|de|del|da|do|para|per|di|a|voor|aan|van|til|fra|hos|för|från|till|av|dla|od|pro|от|для|за|від)"
    rf"\s(?P<name>[^\W_][\w&'’.-]*(?:\s[^\W_][\w&'’.-]*){{0,3}})"
)
_IN_BRACKETS = re.compile(rf"{FILL}\s?[(（](?P<name>[^()（）:：{FILL}\n]{{3,40}})[)）]")
_CAPITALS = re.compile(r"[^\W_][\w&'’-]*(?:[ .]+(?:[^\W\d_a-zà-ÿа-я][\w&'’-]*|\d+))*")
# Where a sentence, an item, a label's text or a quotation begins, a capital says nothing.
_BEGINS = re.compile(r"(?:^|[.!?:;…•*|/\n\-–—(\[{\"“”„«»‘¿¡#>]|(?<![\w])['’])[ \t_]*$")
_JOINS = re.compile(
    r"(?: | ?& ?|-| \d+ | (?:de|da|do|das|dos|du|des|del|della|dei|di|of|and|y|e|et|und|van|von|der|den|la|le|les|the|og|och|i|за|и|і|και) (?:la |le |los |las |der |den |the )?)"
)
# Words with capitals and numbers in a row.
_NAME_RUN = re.compile(r"(?<!\w)[^\W\d_a-zà-ÿа-яα-ω][\w'’-]*(?: (?:& )?(?:[^\W\d_a-zà-ÿа-яα-ω][\w'’-]*|\d+))+")
_KOREAN_NAME = re.compile(r"(?<![가-힣])([가-힣]{3}) ?(?:대표)?님(?:도|은|이|의|과|께서)")
_JAPANESE_NAME = re.compile(r"(?<![\u4e00-\u9fff])([\u4e00-\u9fff]{2,4})(?<![士課部係社者客方員師長々]) ?(?:様|さん)(?:も|は|の|が|と)")
_LONG_NAME = 6
# "Our office is by the court in Aarhus": a single name beside these is a place's.
_PLACE = everywhere("place")
_SENTENCES = re.compile(r"[^.!?\n:;•|]+")


def check_companies(reading: Reading, case: Case) -> list[Finding]:
    """wrong_name and pii_leak over companies, told by their legal form, that are neither the customer nor we."""
    findings: list[Finding] = []
    for pattern in (_COMPANY, _CJK_COMPANY):
        for found in pattern.finditer(reading.open):
            text = found.group(0)
            if FILL in text:
                continue
            folded = set(re.findall(r"\w{2,}", fold_pattern(text)))
            if folded <= case.known_words:
                continue
            findings.append(finding("wrong_name", reading, found.start(), found.end(), case.facts.customer.company or "no company"))
            findings.append(finding("pii_leak", reading, found.start(), found.end(), "nobody else's name"))
    return findings + _whose_invoice(reading, case) + _honoured(reading, case)


def _honoured(reading: Reading, case: Case) -> list[Finding]:
    """pii_leak and wrong_name where Japanese or Korean speaks politely of somebody by a name that is not our customer's: "김도윤 님도 …"."""
    pattern = {"ko": _KOREAN_NAME, "ja": _JAPANESE_NAME}.get(case.language)
    general = tuple(entry for words in case.lexicons for key in ("recipients", "team") for entry in words.lists.get(key, ()))
    findings: list[Finding] = []
    for found in pattern.finditer(reading.open) if pattern is not None else ():
        name = found.group(1)
        if name not in case.known_words and not any(entry in name or name in entry for entry in general):
            for rule in ("wrong_name", "pii_leak"):
                findings.append(finding(rule, reading, found.start(1), found.end(1), "no name that is not in the facts"))
    return findings


def _whose_invoice(reading: Reading, case: Case) -> list[Finding]:
    """wrong_name where an invoice or a sum, told by a fact that was judged, is said to be somebody else's: "invoice … for Other Company", "… (Other Company)".

    A name starts each of its words with a capital and is made of no ordinary words; where every noun has a capital, it takes two of them.
    """
    findings: list[Finding] = []
    for pattern in (_FOR_WHOM, _IN_BRACKETS):
        for found in pattern.finditer(reading.open):
            name = _CAPITALS.match(found.group("name"))
            words = [word for word in ANY_LETTERS.findall(name.group(0)) if len(word) > 1] if name is not None else []
            least = 2 if case.language == "de" or pattern is _IN_BRACKETS else 1
            if len(words) < least or any(not word[:1].isupper() or is_ordinary(fold_pattern(word), case) for word in words):
                continue
            findings.append(
                finding("wrong_name", reading, found.start("name"), found.end("name"), case.facts.customer.company or "no company")
            )
    return findings


def check_strangers(reading: Reading, case: Case, others: list[Finding]) -> list[Finding]:
    """wrong_name where capitals inside a sentence make a name that is nobody's here: "as with Wim Peeters of Garage Zuid", "oi, Thiago!".

    A name's words are in none of the lists and not written small elsewhere in the message. One word alone is enough where nouns have no capitals, and is
    of the severity that the policy gives it; where every noun has one, it takes two in a row. `others` are what was found already: no place is found twice.
    """
    found_already = [
        entry.span for entry in others if entry.span is not None and entry.part == ("subject" if reading.name == "subject" else "body")
    ]
    findings: list[Finding] = []
    small = {fold_pattern(word) for word in ANY_LETTERS.findall(reading.open) if word[:1].islower()}
    for sentence in _SENTENCES.finditer(reading.open):
        text = sentence.group(0)
        words = list(ANY_LETTERS.finditer(text))
        has_small = any(len(word.group(0)) > 1 and word.group(0)[:1].islower() for word in words)
        runs: list[list[re.Match[str]]] = []
        for word in words:
            if not _is_strange(word, text, case, small):
                continue
            if runs and _JOINS.fullmatch(text[runs[-1][-1].end() : word.start()]):
                runs[-1].append(word)
            else:
                runs.append([word])
        for run in runs:
            findings += _stranger(reading, sentence.start(), text, run, case, has_small=has_small)
    findings += _half_right(reading, case)
    return [
        entry for entry in findings if not any(entry.span and start < entry.span[1] and entry.span[0] < end for start, end in found_already)
    ]


def _half_right(reading: Reading, case: Case) -> list[Finding]:
    """Names of which one word is our customer's and another is not: "Harbour 98 Traders" for "Harbour 88 Trading". The right ones were taken out before."""
    if case.language == "de":
        return []
    company = re.findall(LETTERS, fold_pattern(case.facts.customer.company or ""))
    own = {word for word in company if len(word) >= RARE_SMALL and word not in languages_of_words()}
    general = vocabulary(case, "team", "recipients", "greetings", "closings", "capitals", "invoice")
    findings: list[Finding] = []
    for found in _NAME_RUN.finditer(reading.open):
        parts = [fold_pattern(part) for part in re.findall(rf"{LETTERS}|\d+", found.group(0))]
        others = [part for part in parts if part not in case.known_words and part not in general]
        if found.group(0)[:1].isupper() and own.intersection(parts) and others and len(parts) <= len(company) + 1:
            findings.append(finding("wrong_name", reading, found.start(), found.end(), case.facts.customer.company or "no company"))
    return findings


def _is_strange(word: re.Match[str], text: str, case: Case, small: set[str]) -> bool:
    """Whether a word has a capital and is no ordinary word, no name of the case, and no abbreviation."""
    written = word.group(0)
    if not written[:1].isupper() or len(written) < 2 or (written.isupper() and len(written) <= 5) or re.match("I['’]", written):
        return False
    stems = [fold_pattern(part) for part in re.split(r"['’\-]", written) if len(part) > 1]
    if FILL in text[max(0, word.start() - 1) : word.start()] + text[word.end() : word.end() + 1]:
        return False  # part of something that was judged
    return not all(_is_usual(stem, case) or stem in small for stem in stems)


def _is_usual(word: str, case: Case) -> bool:
    names = calendar(case.locale)
    if word in names.months or word in names.weekdays or word in proper_words(case.locale) or is_ordinary(word, case):
        return True
    if any(
        len(name) >= _LONG_NAME and word.startswith(name[:-2]) and len(word) <= len(name) + 3 for name in (*names.months, *names.weekdays)
    ):
        return True
    return any(len(name) >= 3 and (is_form_of(word, name, case) or word in (f"{name}s", f"{name}es")) for name in case.known_words)


def _stranger(reading: Reading, offset: int, text: str, run: list[re.Match[str]], case: Case, *, has_small: bool) -> list[Finding]:
    """The finding about one run of strange words, if it is one."""
    before = reading.plain[: offset + run[0].start()]
    is_begun = _BEGINS.search(before) is not None or re.search(r"\S*[/@]\S*\s+$", before[-200:]) is not None  # a link ends a sentence
    inside = run[1:] if is_begun else run
    if not has_small:
        # A heading, a label, a signature: only what a subject begins with, and of it a whole name, of words of which none is usual.
        is_whole = reading.name == "subject" and len(run) >= 2 and len(ANY_LETTERS.findall(text)) == len(run)
        inside = run if is_whole and case.language != "de" and reading.plain[offset + len(text) :].startswith(":") else []
    if not inside or (case.language == "de" and len(inside) < 2):
        return []
    start, end = offset + inside[0].start(), offset + inside[-1].end()
    if has_small and any(_PLACE.search(fold_pattern(place)) for place in ([text] if len(run) == 1 else [word.group(0) for word in run])):
        return []
    severity = "block" if len(run) > 1 or not has_small else case.policy.one_strange_word
    return [finding("wrong_name", reading, start, end, "no name that is not in the facts", severity)]
