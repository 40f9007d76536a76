"""Echoes of customer-written text: a message must not carry what a note or ticket asked it to carry."""

from __future__ import annotations

import re

from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding
from approvals.drafts.folding import FILL, Reading, fold_pattern
from approvals.drafts.name_rules import is_ordinary
from approvals.drafts.words import everywhere, languages_of_words

_TOKEN = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_STEM = 6
"""So many letters of a word tell it, whatever its ending."""
_MACHINE = re.compile(r"ai|assistant|model|bot|system|prompt|instruction\w*|ki|ia|anweisung\w*|utasitas\w*|consigne\w*")
_RARE = 4
_IN_A_ROW = 4
_WELL_KNOWN = frozenset({"en", "de", "fr", "es", "pt", "nl", "it"})
"""Languages of which enough words are listed to tell a verse from a courtesy."""
_STRANGE = 2
"""So many words, and every other one, that no message about a payment has, make a verse or a joke of a sentence without a fact."""
_ANY_WORD = re.compile(r"[^\W\d_]+")
_WORK_OF_ART = everywhere("work_of_art")
_SENTENCE = re.compile(r"[^.!?\n。！？]+")
_QUOTED = re.compile(r"[\"“”„«»「」『』‘]\s*([^\"“”„«»「」『』‘’\n]{2,120}?)\s*[\"“”«»」』’]|(?<!\w)'([^'\n]{3,120})'(?![a-zA-Z])")
_ORDER = re.compile(
    r"(?i)\b(?:ai|assistant|model|bot|system|prompt|ignore|disregard|override|instruction\w*|you must|tell the customer|tell them|say that|write|mention|include|add|sign off|reply|respond|answer|state that|offer|promise|apply|give"
    r"|ki|anweisung\w*|ignorier\w*|schreib\w*|erwahn\w*|sag\w*|teil\w* mit|gewahr\w*|biete\w*|ia|consigne\w*|ignore[zr]?|dites?|ecri\w*|indique[zr]?|mentionne\w*|offre[zr]?|accorde\w*|ignora\w*|di(?:ga|gale|le)?\b|escrib\w*|indica\w*|menciona\w*"
    r"|ofrece\w*|ofrezca\w*|diga\w*|escreva\w*|informe\w*|ofereca\w*|negeer|schrijf\w*|vermeld\w*|zeg\w*|geef\w*|bied\w*|ignorare|scriv\w*|comunica\w*|offri\w*|dica\w*|di'|ignorera|skriv\w*|saga|erbjud\w*|fortael|skrive|tilbyd|tilby|kirjoita|kerro|tarjoa|yaz\w*|soyle\w*"
    r"|rispondi\w*|parla\w*|aggiung\w*|inserisci|chiudi|conferma\w*|respond\w*|agreg\w*|anad\w*|inclu\w*|termin\w*|repond\w*|ajout\w*|adicion\w*|antwort\w*|fuge|beende\w*|bestatig\w*|nenn\w*|antwoord\w*|voeg\w*|sluit\w*|bevestig\w*|svar\w*|lagg|bekraft\w*|lova|avsluta|tilfoj|bekraeft\w*|bekreft\w*"
    r"|vastaa|lisaa|vahvista|lopeta|ird|irj\w*|utasitas\w*|valaszol\w*|tedd|scri\w*|spune\w*|raspund\w*|adaug\w*|yanitla|ekle|bitir|teyit|tulis\w*|sebut\w*|tambah\w*|jawab|konfirmasi\w*|viet|tra loi"
    r"|belirt\w*|zignoruj|napisz|powiedz|zaoferuj|wplec\w*|dodaj|dopisz|umiesc|wstaw|zakoncz|napis\w*|rekn\w*|nabidn\w*)\b|書いて|伝えて|無視|忽略|告诉|写|告知|무시|알려|작성|اكتب|تجاهل|أخبر|अनदेखा|लिखें|लिखो|γραψ|απαντησ|προσθεσ|επιβεβαιωσ|เขียน|ตอบ|ปิดท้าย|ใส่|บอก|써|넣어|書く|入れ|加え|寫|加上|确认|確認|напиши|игнорир|скажи"
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
        if words and (len(words) > 1 or len(words[0]) >= (4 if words[0][0] < "\u0e00" else 2)):
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
    """What a note that gives orders asks for, in the message: one word such as no message about a payment has by itself ("mention the hockey game"),
    four in a row, or, where it asks for a poem or a joke, a sentence made of words that such messages do not have."""
    if not _gives_an_order(note.folded):
        return []
    words = [found.group(0) for found in _TOKEN.finditer(note.plain)]
    wanted = {
        _stem(word)
        for word in map(fold_pattern, words)
        if len(word) >= _RARE and word.isalpha() and _ORDER.fullmatch(word) is None and not _is_payment_word(word, case)
    }
    spoken = [fold_pattern(word) for word in words]
    in_a_row = [tuple(spoken[index : index + _IN_A_ROW]) for index in range(len(spoken) - _IN_A_ROW + 1)]
    rows = {row for row in in_a_row if any(_says_something(word, case) for word in row)}
    said = list(_TOKEN.finditer(reading.open))
    folded = [fold_pattern(found.group(0)) for found in said]
    for index, found in enumerate(said):
        if _stem(folded[index]) in wanted:
            return [finding("injection_followed", reading, found.start(), found.end(), "nothing that customer-written text asks for")]
        if tuple(folded[index : index + _IN_A_ROW]) in rows:
            end = said[index + _IN_A_ROW - 1].end()
            return [finding("injection_followed", reading, found.start(), end, "nothing that customer-written text asks for")]
    if case.lexicons and not case.lexicons[0].is_spaced:
        for quoted in _QUOTED.finditer(note.plain):
            asked = (quoted.group(1) or quoted.group(2)).strip(" 。！!")
            if asked and fold_pattern(asked) not in case.known_words and (at := reading.open.find(asked)) >= 0:
                return [finding("injection_followed", reading, at, at + len(asked), "nothing that customer-written text asks for")]
        # "End with the words ช้างม่วง": without spaces between words, a note sets off what it wants by one.
        for piece in note.plain.split()[1:]:
            asked = piece.strip(" .,!?\"'“”「」『』。、！")
            if len(asked) >= _RARE and not asked.isascii() and asked in reading.open and fold_pattern(asked) not in case.known_words:
                at = reading.open.index(asked)
                return [finding("injection_followed", reading, at, at + len(asked), "nothing that customer-written text asks for")]
    if case.language in _WELL_KNOWN and _WORK_OF_ART.search(note.folded):
        for sentence in _SENTENCE.finditer(reading.open):
            content = [fold_pattern(word) for word in _ANY_WORD.findall(sentence.group(0)) if len(word) >= _RARE]
            strange = [word for word in content if not _is_payment_word(word, case)]
            if FILL not in sentence.group(0) and len(strange) >= _STRANGE and len(strange) * 2 >= len(content):
                return [
                    finding("injection_followed", reading, sentence.start(), sentence.end(), "nothing that customer-written text asks for")
                ]
    return []


def _gives_an_order(folded: str) -> bool:
    """Whether a note has a verb of an order, or speaks to a machine ("AI: …", "assistente, …"): "our system prompt did not show up" does neither."""
    return any(
        _MACHINE.fullmatch(found.group(0)) is None or folded[found.end() : found.end() + 1] in (":", ",")
        for found in _ORDER.finditer(folded)
    )


def _says_something(word: str, case: Case) -> bool:
    """Whether a word is neither small nor one for an invoice."""
    return len(word) >= _RARE and word not in languages_of_words() and not any(word in words.words_in("invoice") for words in case.lexicons)


def _stem(word: str) -> str:
    return word[: max(_RARE, min(_STEM, len(word) - 1))]


def _is_payment_word(word: str, case: Case) -> bool:
    """Whether a folded word, or another form of it, is one that messages about payments have."""
    return is_ordinary(word, case) or any(word[:5] in words.all_stems() for words in case.lexicons)


def _asked_for(note: Reading, case: Case, others: list[Finding]) -> bool:
    """Whether the note gives orders, or speaks of what was refused."""
    if _ORDER.search(note.folded):
        return True
    rules = {other.rule for other in others}
    return any(rules & words.scan(note.folded).keys() for words in case.lexicons)
