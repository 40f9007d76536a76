"""Names: who is greeted, who signs, and which companies are spoken of."""

from __future__ import annotations

import re

from approvals.drafts.calendars import calendar
from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding
from approvals.drafts.folding import FILL, LETTERS, Reading, fold_pattern
from approvals.drafts.locales import proper_words
from approvals.drafts.words import languages_of_words

# Languages in which a name changes its ending when somebody is addressed or spoken of.
_INFLECTING = frozenset(
    {"cs", "sk", "pl", "uk", "ru", "bg", "hr", "sr", "sl", "lt", "lv", "et", "fi", "hu", "tr", "el", "ro", "is", "ka", "hy", "ga", "la"}
)
_SUFFIXING = frozenset({"fi", "et", "hu", "tr"})
"""Of these, those that add to a name and do not exchange its last letter: "Onna" is no form of "Onni"."""
# Languages that write "billing team" as one word.
_COMPOUNDING = frozenset({"de", "nl", "sv", "nb", "da", "fi", "is"})
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
_GREETING_END = re.compile(r"[,:!;.\n，：！。、–—،؛।]|\s-\s|$")
_CJK_GREETING = re.compile(
    r"^(?P<name>[^\n、。,，:：!！]{1,30}?)\s*(?:(?:様|さま|さん|殿|御中|님|씨|先生|女士|小姐)(?:您好|你好)?|您好|你好|早安|早上好|上午好|中午好|下午好|晚上好|午安|晚安)(?=[\s、。,，:：!！]|$)"
)
_ANY_LETTERS = re.compile(rf"{LETTERS}(?:['’\-]{LETTERS})*")
# Where a sentence, an item, a label's text or a quotation begins, a capital says nothing.
_BEGINS = re.compile(r"(?:^|[.!?:;…•*|/\n\-–—(\[{\"“”„«»‘¿¡#>]|(?<![\w])['’])[ \t_]*$")
_JOINS = re.compile(
    r"(?: | ?& ?|-| \d+ | (?:de|da|do|das|dos|du|des|del|della|dei|di|of|and|y|e|et|und|van|von|der|den|la|le|les|the|og|och|i|за|и|і|και) (?:la |le |los |las |der |den |the )?)"
)
# Words with capitals and numbers in a row.
_NAME_RUN = re.compile(r"(?<!\w)[^\W\d_a-zà-ÿа-яα-ω][\w'’-]*(?: (?:& )?(?:[^\W\d_a-zà-ÿа-яα-ω][\w'’-]*|\d+))+")
_KOREAN_NAME = re.compile(r"(?<![가-힣])([가-힣]{3}) ?(?:대표)?님(?:도|은|이|의|과|께서)")
_JAPANESE_NAME = re.compile(r"(?<![\u4e00-\u9fff])([\u4e00-\u9fff]{2,4})(?<![士課部係社者客方員師長々]) ?(?:様|さん)(?:も|は|の|が|と)")
_RARE_SMALL = 4
_LONG_NAME = 6
# "Our office is by the court in Aarhus": a single name beside these is a place's.
_PLACE = re.compile(
    r"office|street|address|kontor|buro|adresse|strasse|bureau|\brue\b|oficina|calle|direccion|escritorio|\brua\b|endereco|ufficio|\bvia\b|indirizzo|kantoor|adres|gade|gata|toimisto|osoite|biur|ulic|kancelar|iroda|cim\b|birou|strada|ofis|cadde"
    r"|γραφει|διευθυνσ|οδο|офис|улиц|адрес|офіс|вулиц|kantor|jalan|alamat"
)
_SENTENCES = re.compile(r"[^.!?\n:;•|]+")


def _is_form_of(word: str, known: str, case: Case) -> bool:
    if word == known:
        return True
    if case.language not in _INFLECTING or (case.language in _SUFFIXING and len(word) == len(known) and word[:-1] == known[:-1]):
        return False
    shared = 0
    for left, right in zip(word, known, strict=False):
        if left != right:
            break
        shared += 1
    return shared >= max(2, len(known) - 3) and abs(len(word) - len(known)) <= 4 and len(word) - shared <= 4


def _unknown_words(text: str, case: Case, generic: frozenset[str]) -> list[str]:
    """The words in a greeting or signature that are neither the case's names nor general ones like "team"."""
    known = [fold_pattern(name) for name in (case.facts.customer.first_name or "",) if name]
    allowed = generic | case.known_words
    unknown: list[str] = []
    for found in _ANY_LETTERS.finditer(text):
        word = fold_pattern(found.group(0))
        stem = re.split(r"['’]", word)[0]
        if word in allowed or stem in allowed or len(word) == 1:
            continue
        if case.language in _COMPOUNDING and word.endswith(("team", "teamet")):
            continue
        if any(_is_form_of(word, name, case) for name in known):
            continue
        unknown.append(found.group(0))
    return unknown


def _vocabulary(case: Case, *lists: str) -> frozenset[str]:
    return frozenset().union(*(words.words_in(*lists) for words in case.lexicons))


def check_greeting(reading: Reading, case: Case) -> list[Finding]:
    """wrong_name where somebody else is greeted, or a form of address was guessed."""
    first = re.search(r"[^\s¿¡].*", reading.open)
    if first is None:
        return []
    line_start = first.start()
    line = reading.open[line_start : line_start + 90].split("\n")[0]
    folded = reading.open_folded[line_start : line_start + len(line)]
    who = case.facts.customer.first_name or "no name, since none is known"
    if titled := _title(line, folded, line_start, reading, case, who):
        return titled
    cjk = _CJK_GREETING.match(line)
    if cjk is not None and case.language in ("ja", "ko", "zh"):
        candidate = cjk.group("name")
        for words in case.lexicons:
            opening = words.any_of("greetings")
            if opening is not None and (hit := opening.match(fold_pattern(candidate))) is not None:
                candidate = candidate[hit.end() :]
        general = tuple(entry for words in case.lexicons for entry in words.lists.get("recipients", ()))
        rest = candidate.replace(FILL, "").strip(" 、,.")
        if rest and not any(entry in rest for entry in general) and re.search(r"[^\W\d_]", rest):
            return [finding("wrong_name", reading, line_start, line_start + cjk.end("name"), who)]
        return []
    if case.lexicons and not case.lexicons[0].is_spaced:
        called = re.match(r"\s*([^\W\d_]{1,12})\s*[,，、]", line)
        if called is not None and not any(
            entry in called.group(1) for key in ("recipients", "greetings") for entry in case.lexicons[0].lists.get(key, ())
        ):
            return [finding("wrong_name", reading, line_start + called.start(1), line_start + called.end(1), who)]
    for words in case.lexicons:
        opening = words.any_of("greetings")
        hit = opening.match(folded) if opening is not None else None
        if hit is None:
            continue
        rest = line[hit.end() :]
        stop = _GREETING_END.search(rest)
        candidate = rest[: stop.start()] if stop is not None else rest
        start = line_start + hit.end()
        if stop is not None and stop.group(0) in (",", "、", "，") and not candidate.strip():
            following = rest[stop.end() :]
            second = _GREETING_END.search(following)
            start += stop.end()
            candidate = following[: second.start()] if second is not None else following
            if second is not None and second.group(0) == "." and re.search(r"\w\s+\w+\s+\w+\s+\w", candidate):
                return []
        closing = words.any_of("closings")
        if closing is not None and (wished := closing.match(fold_pattern(line.lstrip()))) is not None and wished.end() > hit.end():
            # "Liebe Grüße aus Wien, Anneliese!": who is meant stands behind the comma, if anybody is.
            comma = line.find(",")
            if comma < 0:
                return []
            start, candidate = line_start + comma + 1, line[comma + 1 :].rstrip(" !.,")
        is_line_greeting = len(line) <= 60
        if not is_line_greeting and len(candidate.split()) > 4:
            return []
        honorifics = words.any_of("honorifics")
        generic = words.words_in("recipients", "team", "greetings", "closings")  # "Liebe Grüße aus dem Abrechnungsteam, Jonas!"
        honorific = honorifics.search(fold_pattern(candidate)) if honorifics is not None else None
        recipients = words.any_of("recipients")
        if honorific is not None and (recipients is None or recipients.search(fold_pattern(candidate)) is None):
            return [finding("wrong_name", reading, start + honorific.start(), start + len(candidate), f"{who}, without a guessed title")]
        unknown = _unknown_words(candidate, case, generic)
        if unknown and (any(word[:1].isupper() or not word[:1].islower() for word in unknown)) and len(unknown) <= 5:
            at = line.find(unknown[0], hit.end())
            return [finding("wrong_name", reading, line_start + at, line_start + at + len(unknown[0]), who)]
        return []
    bare = re.match(r"\s*([^\W\d_][\w'’.-]*(?: [^\W\d_][\w'’.-]*){0,2})\s*,\s*(?:$|\S)", line)
    if bare is not None and case.lexicons and case.lexicons[0].is_spaced:
        generic = _vocabulary(case, "recipients", "team", "adverbs")
        unknown = _unknown_words(bare.group(1), case, generic)
        is_alone = bare.end() >= len(line.rstrip())
        if unknown and all(word[:1].isupper() for word in unknown) and is_alone:
            return [finding("wrong_name", reading, line_start, line_start + bare.end(1), who)]
    return []


def _title(line: str, folded: str, line_start: int, reading: Reading, case: Case, who: str) -> list[Finding]:
    """wrong_name where the line that greets puts a title to our customer's name: "Sr. Domingo:", "子轩先生". Both at once guess nothing: "anh/chị"."""
    for words in case.lexicons:
        titles = words.any_of("titles") or words.any_of("honorifics")
        if titles is None:
            continue
        for found in titles.finditer(folded):
            beside = folded[max(0, found.start() - 1) : found.start()] + folded[found.end() : found.end() + 1]
            before, after = folded[: found.start()].rstrip(), folded[found.end() :].lstrip(" .")
            is_before = after.startswith(FILL) and words.language != "zh"
            is_after = before.endswith(FILL) and words.language in ("zh", "hu", "tr")
            if "/" not in beside and (is_before or is_after):
                return [
                    finding("wrong_name", reading, line_start + found.start(), line_start + found.end(), f"{who}, without a guessed title")
                ]
    return []


def check_signature(reading: Reading, case: Case, channel: str) -> list[Finding]:
    """wrong_name where somebody else signs: after a closing formula, or on a short last line."""
    lines = _lines(reading.open)
    if not lines or not case.lexicons:
        return []
    team = _vocabulary(case, "team", "closings", "recipients")
    small = languages_of_words()
    expected = f"{case.facts.sender_name} or {case.facts.vendor}"
    if channel == "sms":
        tail = re.search(r"(?:[-–—/|.。!]|" + FILL + r")\s*((?:[^\W\d_a-z][\w&'’]*\s?){1,4})$", reading.open.rstrip())
        if tail is not None and not case.lexicons[0].is_spaced:
            return []
        if tail is not None and (unknown := _unknown_words(tail.group(1), case, team)) and all(word[:1].isupper() for word in unknown):
            return [finding("wrong_name", reading, tail.start(1), tail.end(1), expected)]
        return []
    closing_at = None
    for index in range(len(lines) - 1, max(0 if len(lines) > 3 else -1, len(lines) - 9), -1):  # the first line of a mail greets
        start, text = lines[index]
        folded = fold_pattern(text)
        for words in case.lexicons:
            closing = words.any_of("closings")
            if (
                closing is not None
                and (hit := closing.match(folded)) is not None
                and len(folded) - hit.end() <= (45 if words.is_spaced else 20)
            ):
                closing_at = (index, hit.end())
                break
        if closing_at is not None:
            break
    findings: list[Finding] = []
    if closing_at is not None:
        index, offset = closing_at
        signed = [(lines[index][0] + offset, lines[index][1][offset:]), *lines[index + 1 :]]
        for number, (start, text) in enumerate(signed[:4]):
            is_sentence = number == 0 and _goes_on(text)
            if not is_sentence and (
                len(text) > 70
                or (re.search(r"[.!?。]\s*$", text) and len(text.split()) > 4)
                or re.match(r"(?i)\s*(?:p\.?\s?s|ps|n\.?b)\b", text)
            ):
                break
            unknown = [word for word in _unknown_words(text, case, team) if word[:1].isupper() or not word[:1].islower()]
            if is_sentence:
                unknown = [] if case.language == "de" else [word for word in unknown if "A" <= word[:1] <= "Z"]  # what can only be a name
            if text.rstrip().endswith(",") and any(
                len(word) >= _RARE_SMALL and word[:1].islower() and word not in small for word in _ANY_LETTERS.findall(text)
            ):
                continue  # "Pardon pour ce dérangement,": one more line of good wishes, and no name with "de la" in it
            if len(re.findall(f"{FILL}+", text)) > 1 and all(word.upper() == word.lower() for word in unknown):
                continue  # both of our names, and what joins them in a script without capitals
            if unknown:
                findings.append(finding("wrong_name", reading, start, start + len(text), expected))
        return findings
    start, text = lines[-1]
    if _is_written_name(text, case, team):
        return [finding("wrong_name", reading, start, start + len(text), expected)]
    words_in = _ANY_LETTERS.findall(text)
    if len(lines) > 1 and 1 <= len(words_in) <= 5 and FILL not in text and not re.search(r"[.!?。:]\s*$", text):
        unknown = _unknown_words(text, case, team)
        if unknown and all(word[:1].isupper() for word in unknown):
            findings.append(finding("wrong_name", reading, start, start + len(text), expected))
    return findings


_HAN_NAME = re.compile(
    r"[\u4e00-\u9fff]{2,5}|[\u4e00-\u9fff]{1,3}[ \u3000][\u4e00-\u9fff\u3040-\u30ff]{1,4}|[\uac00-\ud7a3]{2,4}(?= ?(?:드림|올림)$|$)"
)


def _is_written_name(line: str, case: Case, known: frozenset[str]) -> bool:
    """Whether a last line of Han or Hangul is a person's name and no word for a team or a greeting."""
    if case.language not in ("ja", "zh", "ko"):
        return False
    text = line.strip()
    found = _HAN_NAME.match(text)
    return (
        found is not None
        and len(text) <= 8
        and not any(word in text for word in known if len(word) > 1)
        and not is_ordinary(fold_pattern(text), case)
    )


def _goes_on(rest: str) -> bool:
    """Whether the line goes on as a sentence behind its formula: "Thanks for using …", "Danke und schönen Tag,", or in a script without capitals."""
    first = re.match(r"\s*([^\W\d_])", rest)
    if first is None:
        return False
    letter = first.group(1)
    if letter.upper() == letter.lower():
        return True
    return letter.islower() and (
        re.search(r"[,.!?。！]\s*$", rest) is not None or re.findall(LETTERS, fold_pattern(rest))[0] in languages_of_words()
    )


def _lines(text: str) -> list[tuple[int, str]]:
    """The lines with something in them, with their positions."""
    found = [(match.start(), match.group(0)) for match in re.finditer(r"[^\n]+", text)]
    return [(start, line) for start, line in found if line.strip()]


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


def is_ordinary(word: str, case: Case) -> bool:
    """Whether a folded word is one of the case's names, a common small word of some language, or in the lists of one that is spoken here."""
    return word in case.known_words or word in languages_of_words() or any(word in words.all_words() for words in case.lexicons)


def _whose_invoice(reading: Reading, case: Case) -> list[Finding]:
    """wrong_name where an invoice or a sum, told by a fact that was judged, is said to be somebody else's: "invoice … for Other Company", "… (Other Company)".

    A name starts each of its words with a capital and is made of no ordinary words; where every noun has a capital, it takes two of them.
    """
    findings: list[Finding] = []
    for pattern in (_FOR_WHOM, _IN_BRACKETS):
        for found in pattern.finditer(reading.open):
            name = _CAPITALS.match(found.group("name"))
            words = [word for word in _ANY_LETTERS.findall(name.group(0)) if len(word) > 1] if name is not None else []
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
    small = {fold_pattern(word) for word in _ANY_LETTERS.findall(reading.open) if word[:1].islower()}
    for sentence in _SENTENCES.finditer(reading.open):
        text = sentence.group(0)
        words = list(_ANY_LETTERS.finditer(text))
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
    own = {word for word in company if len(word) >= _RARE_SMALL and word not in languages_of_words()}
    general = _vocabulary(case, "team", "recipients", "greetings", "closings", "capitals", "invoice")
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
    return any(len(name) >= 3 and (_is_form_of(word, name, case) or word in (f"{name}s", f"{name}es")) for name in case.known_words)


def _stranger(reading: Reading, offset: int, text: str, run: list[re.Match[str]], case: Case, *, has_small: bool) -> list[Finding]:
    """The finding about one run of strange words, if it is one."""
    before = reading.plain[: offset + run[0].start()]
    is_begun = _BEGINS.search(before) is not None or re.search(r"\S*[/@]\S*\s+$", before[-200:]) is not None  # a link ends a sentence
    inside = run[1:] if is_begun else run
    if not has_small:
        # A heading, a label, a signature: only what a subject begins with, and of it a whole name, of words of which none is usual.
        is_whole = reading.name == "subject" and len(run) >= 2 and len(_ANY_LETTERS.findall(text)) == len(run)
        inside = run if is_whole and case.language != "de" and reading.plain[offset + len(text) :].startswith(":") else []
    if not inside or (case.language == "de" and len(inside) < 2):
        return []
    start, end = offset + inside[0].start(), offset + inside[-1].end()
    if has_small and any(_PLACE.search(fold_pattern(place)) for place in ([text] if len(run) == 1 else [word.group(0) for word in run])):
        return []
    severity = "block" if len(run) > 1 or not has_small else case.policy.one_strange_word
    return [finding("wrong_name", reading, start, end, "no name that is not in the facts", severity)]
