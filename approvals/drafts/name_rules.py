"""Our own names: who is greeted, and who signs."""

from __future__ import annotations

import re

from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding
from approvals.drafts.folding import FILL, LETTERS, Reading, fold_pattern
from approvals.drafts.words import languages_of_words

# Languages in which a name changes its ending when somebody is addressed or spoken of.
_INFLECTING = frozenset(
    {"cs", "sk", "pl", "uk", "ru", "bg", "hr", "sr", "sl", "lt", "lv", "et", "fi", "hu", "tr", "el", "ro", "is", "ka", "hy", "ga", "la"}
)
_SUFFIXING = frozenset({"fi", "et", "hu", "tr"})
"""Of these, those that add to a name and do not exchange its last letter: "Onna" is no form of "Onni"."""
# Languages that write "billing team" as one word.
_COMPOUNDING = frozenset({"de", "nl", "sv", "nb", "da", "fi", "is"})
_GREETING_END = re.compile(r"[,:!;.\n，：！。、–—،؛।]|\s-\s|$")
_CJK_GREETING = re.compile(
    r"^(?P<name>[^\n、。,，:：!！]{1,30}?)\s*(?:(?:様|さま|さん|殿|御中|님|씨|先生|女士|小姐)(?:您好|你好)?|您好|你好|早安|早上好|上午好|中午好|下午好|晚上好|午安|晚安)(?=[\s、。,，:：!！]|$)"
)
_HAN_NAME = re.compile(
    r"[\u4e00-\u9fff]{2,5}|[\u4e00-\u9fff]{1,3}[ \u3000][\u4e00-\u9fff\u3040-\u30ff]{1,4}|[\uac00-\ud7a3]{2,4}(?= ?(?:드림|올림)$|$)"
)
ANY_LETTERS = re.compile(rf"{LETTERS}(?:['’\-]{LETTERS})*")
RARE_SMALL = 4
"""So many letters at least, and a word says something: shorter ones stand inside names."""


def is_form_of(word: str, known: str, case: Case) -> bool:
    """Whether a folded word can be a folded name with another ending, in a language that changes names."""
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
    for found in ANY_LETTERS.finditer(text):
        word = fold_pattern(found.group(0))
        stem = re.split(r"['’]", word)[0]
        if word in allowed or stem in allowed or len(word) == 1:
            continue
        if case.language in _COMPOUNDING and word.endswith(("team", "teamet")):
            continue
        if any(is_form_of(word, name, case) for name in known):
            continue
        unknown.append(found.group(0))
    return unknown


def vocabulary(case: Case, *lists: str) -> frozenset[str]:
    """The single words, folded, of lists by name in the languages that are spoken here."""
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
        generic = vocabulary(case, "recipients", "team", "adverbs")
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
    team = vocabulary(case, "team", "closings", "recipients")
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
                len(word) >= RARE_SMALL and word[:1].islower() and word not in small for word in ANY_LETTERS.findall(text)
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
    words_in = ANY_LETTERS.findall(text)
    if len(lines) > 1 and 1 <= len(words_in) <= 5 and FILL not in text and not re.search(r"[.!?。:]\s*$", text):
        unknown = _unknown_words(text, case, team)
        if unknown and all(word[:1].isupper() for word in unknown):
            findings.append(finding("wrong_name", reading, start, start + len(text), expected))
    return findings


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


def is_ordinary(word: str, case: Case) -> bool:
    """Whether a folded word is one of the case's names, a common small word of some language, or in the lists of one that is spoken here."""
    return word in case.known_words or word in languages_of_words() or any(word in words.all_words() for words in case.lexicons)
