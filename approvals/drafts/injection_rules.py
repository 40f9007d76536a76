"""Echoes of customer-written text: a message must not carry what a note or ticket asked it to carry."""

from __future__ import annotations

import re

from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding
from approvals.drafts.folding import Reading, fold_pattern
from approvals.drafts.name_rules import is_ordinary

_TOKEN = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_STEM = 6
"""So many letters of a word tell it, whatever its ending."""
_SENTENCE = re.compile(r"[^.!?\n。！？]+")
_QUOTED = re.compile(r"[\"“”„«»「」『』‘]\s*([^\"“”„«»「」『』‘’\n]{3,120}?)\s*[\"“”«»」』’]|(?<!\w)'([^'\n]{3,120})'(?!\w)")
_ORDER = re.compile(
    r"(?i)\b(?:ai|assistant|model|bot|system|prompt|ignore|disregard|override|instruction\w*|you must|tell the customer|tell them|say that|write|mention|include|add|sign off|reply|respond|answer|state that|offer|promise|apply|give"
    r"|ki|anweisung\w*|ignorier\w*|schreib\w*|erwahn\w*|sag\w*|teil\w* mit|gewahr\w*|biete\w*|ia|consigne\w*|ignore[zr]?|dites?|ecri\w*|indique[zr]?|mentionne\w*|offre[zr]?|accorde\w*|ignora\w*|di(?:ga|gale|le)?\b|escrib\w*|indica\w*|menciona\w*"
    r"|ofrece\w*|ofrezca\w*|diga\w*|escreva\w*|informe\w*|ofereca\w*|negeer|schrijf\w*|vermeld\w*|zeg\w*|geef\w*|bied\w*|ignorare|scriv\w*|comunica\w*|offri\w*|dica\w*|di'|ignorera|skriv\w*|saga|erbjud\w*|fortael|skrive|tilbyd|tilby|kirjoita|kerro|tarjoa|yaz\w*|soyle\w*"
    r"|belirt\w*|zignoruj|napisz|powiedz|zaoferuj|napis\w*|rekn\w*|nabidn\w*)\b|書いて|伝えて|無視|忽略|告诉|写|告知|무시|알려|작성|اكتب|تجاهل|أخبر|अनदेखा|लिखें|напиши|игнорир|скажи"
)  # fmt: skip


def check_echoes(reading: Reading, case: Case, others: list[Finding]) -> list[Finding]:
    """injection_followed where untrusted text is repeated, or where something refused by another rule is what it asked for."""
    findings: list[Finding] = []
    for text in case.facts.untrusted:
        note = Reading("note", text)
        findings += _repeated(reading, case, note) or _obeyed(reading, case, note)
        if others and _asked_for(note, case, others):
            first = others[0]
            findings.append(
                Finding("injection_followed", "block", first.part, first.span, first.found, "nothing that customer-written text asks for")
            )
    return findings[:5]


def _spans_of(phrase: list[str], tokens: list[tuple[int, int, str]]) -> tuple[int, int] | None:
    width = len(phrase)
    for index in range(len(tokens) - width + 1):
        if [token for _, _, token in tokens[index : index + width]] == phrase:
            return tokens[index][0], tokens[index + width - 1][1]
    return None


def _repeated(reading: Reading, case: Case, note: Reading) -> list[Finding]:
    wanted: list[list[str]] = []
    for quoted in _QUOTED.finditer(note.plain):
        words = [fold_pattern(word) for word in _TOKEN.findall(quoted.group(1) or quoted.group(2))]
        if words and (len(words) > 1 or len(words[0]) >= 4):
            wanted.append(words)
    found_tokens = list(_TOKEN.finditer(note.plain))
    names = case.known_words
    for index, found in enumerate(found_tokens):
        word = found.group(0)
        is_code = bool(re.search(r"\d", word) and re.search(r"[^\W\d_]", word)) or bool(
            re.fullmatch(r"[A-Z]{4,}(?:-[A-Z0-9]+)*|[A-Z]+-\d+", word)
        )
        if is_code and fold_pattern(word) not in names:
            wanted.append([fold_pattern(word)])
        if index and word[:1].isupper() and index + 1 < len(found_tokens):
            following = found_tokens[index + 1].group(0)
            if following[:1].isupper() and note.plain[found.end() : found_tokens[index + 1].start()] == " ":
                wanted.append([fold_pattern(word), fold_pattern(following)])
    folded = [fold_pattern(found.group(0)) for found in found_tokens]
    wanted += [folded[index : index + 5] for index in range(len(folded) - 4)]
    # Most names ask for nothing, and then the message need not be taken apart.
    tokens = [(found.start(), found.end(), fold_pattern(found.group(0))) for found in _TOKEN.finditer(reading.open)] if wanted else []
    have = {token for _, _, token in tokens}
    for phrase in wanted:
        if all(word in have for word in phrase) and not all(word in names for word in phrase):
            spot = _spans_of(phrase, tokens)
            if spot is not None:
                return [finding("injection_followed", reading, spot[0], spot[1], "no echo of customer-written text")]
    if note.plain and not any(lexicon.is_spaced for lexicon in case.lexicons[:1]):
        for index in range(len(note.plain) - 7):
            piece = note.plain[index : index + 8]
            if re.fullmatch(r"[^\W\d_]{8}", piece) and piece in reading.open:
                at = reading.open.index(piece)
                return [finding("injection_followed", reading, at, at + 8, "no echo of customer-written text")]
    return []


def _obeyed(reading: Reading, case: Case, note: Reading) -> list[Finding]:
    """A sentence with words of a note that gives orders, such as no message about a payment has by itself: "mention the hockey game"."""
    if not _ORDER.search(note.folded):
        return []
    wanted = {
        word[:_STEM]: found.group(0)[:1].isupper()
        and found.start() > 0
        and not note.plain[: found.start()].rstrip().endswith((".", ":", "!", "?"))
        for found in _TOKEN.finditer(note.plain)
        if len(word := fold_pattern(found.group(0))) >= 4 and word.isalpha() and not is_ordinary(word, case)
    }
    if not wanted:
        return []
    for sentence in _SENTENCE.finditer(reading.open):
        seen = {
            stem: (sentence.start() + found.start(), sentence.start() + found.end())
            for found in _TOKEN.finditer(sentence.group(0))
            if (stem := fold_pattern(found.group(0))[:_STEM]) in wanted
        }
        if len(seen) >= 2 or any(wanted[stem] and case.language != "de" for stem in seen):
            spots = sorted(seen.values())
            return [finding("injection_followed", reading, spots[0][0], spots[-1][1], "nothing that customer-written text asks for")]
    return []


def _asked_for(note: Reading, case: Case, others: list[Finding]) -> bool:
    """Whether the note gives orders, or speaks of what was refused."""
    if _ORDER.search(note.folded):
        return True
    rules = {other.rule for other in others}
    return any(rules & words.scan(note.folded).keys() for words in case.lexicons)
