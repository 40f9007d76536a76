"""The language of each paragraph: the customer's, from the first line to the last."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding
from approvals.drafts.folding import FILL, Reading, fold
from approvals.drafts.locales import language_of
from approvals.drafts.words import languages_of_words

_DETECTED = [
    "en",
    "de",
    "fr",
    "es",
    "pt",
    "nl",
    "it",
    "sv",
    "da",
    "nb",
    "fi",
    "tr",
    "pl",
    "cs",
    "sk",
    "hu",
    "ro",
    "id",
    "vi",
    "hr",
    "sl",
    "et",
    "lv",
    "lt",
    "ca",
]
_SCRIPTS: dict[str, str] = {
    "ja": r"[\u3040-\u30ff\u4e00-\u9fff々]", "zh": r"[\u4e00-\u9fff]", "ko": r"[\uac00-\ud7a3\u1100-\u11ff\u3130-\u318f]", "ar": r"[\u0600-\u06ff]", "fa": r"[\u0600-\u06ff]",
    "ur": r"[\u0600-\u06ff]", "he": r"[\u0590-\u05ff]", "el": r"[\u0370-\u03ff]", "ru": r"[\u0400-\u04ff]", "uk": r"[\u0400-\u04ff]", "bg": r"[\u0400-\u04ff]", "sr": r"[\u0400-\u04ff]",
    "hi": r"[\u0900-\u097f]", "mr": r"[\u0900-\u097f]", "th": r"[\u0e00-\u0e7f]", "bn": r"[\u0980-\u09ff]", "ta": r"[\u0b80-\u0bff]", "te": r"[\u0c00-\u0c7f]", "ka": r"[\u10a0-\u10ff]", "hy": r"[\u0530-\u058f]",
}  # fmt: skip
_OTHER_SCRIPT = re.compile(r"[\u0370-\u03ff\u0400-\u04ff\u0590-\u06ff\u0900-\u0dff\u0e00-\u0e7f\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]")
_CLOSE: dict[str, frozenset[str]] = {
    "da": frozenset({"nb"}), "nb": frozenset({"da"}), "cs": frozenset({"sk"}), "sk": frozenset({"cs"}), "hr": frozenset({"sl"}), "id": frozenset(), "es": frozenset({"ca"}),
}  # fmt: skip
_CHINESE = frozenset("您们這吗嗎请还沒给经费账帐賬页误邮这谢让关发对么麼")
"""Characters that Japanese is written without."""
_OWN_LETTERS = {
    "ro": "[ăîșțşţ]", "pl": "[ąęłńśźż]", "cs": "[ěřůďťň]", "hu": "[őűáéíóú]", "tr": "[ğışç]", "pt": "[ãõç]", "vi": "[đơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", "es": "[ñ¿¡]", "sv": "[åäö]", "da": "[æøå]", "nb": "[æøå]", "fi": "[äö]",
}  # fmt: skip
"""Letters that tell a short sentence from those of the languages that a detector takes it for."""
_MARKS = 2
"""So many letters or words of another language are no slip."""
_CHARACTERS = 3
"""So many characters of the other form of Chinese are no slip of one name."""
_LETTER_RUN = re.compile(r"[^\W\d_]+")
_SHORT, _ENOUGH = 20, 45


@lru_cache(maxsize=1)
def _detector() -> tuple[Any, dict[Any, str]]:
    """The statistical detector, loaded at first use (seconds, once a process): never in a request, workers warm it up."""
    from lingua import IsoCode639_1, Language, LanguageDetectorBuilder

    by_code = {language.iso_code_639_1: language for language in Language.all()}
    languages = {by_code[getattr(IsoCode639_1, code.upper())]: code for code in _DETECTED}
    return LanguageDetectorBuilder.from_languages(*languages).with_low_accuracy_mode().build(), languages


def warm_up() -> None:
    """Load the detector now, so that the first message does not wait for it."""
    _detector()[0].compute_language_confidence_values("warm up")


@lru_cache(maxsize=512)
def _confidences(text: str) -> dict[str, float]:
    detector, languages = _detector()
    return {languages[entry.language]: entry.value for entry in detector.compute_language_confidence_values(text)}


def forget() -> None:
    """Empty the cache of texts already told, for measuring."""
    _confidences.cache_clear()


def check_language(reading: Reading, case: Case) -> list[Finding]:
    """wrong_language over each paragraph that is long enough to tell, and over the whole."""
    findings: list[Finding] = []
    text = reading.open
    script = _SCRIPTS.get(case.language)
    checked = ""
    for found in re.finditer(r"[^\n]+(?:\n(?!\s*\n)[^\n]+)*", text):
        for sentence in _pieces(found.group(0)):
            start = found.start() + sentence[0]
            words = sentence[1].replace(FILL, " ")
            letters = "".join(_LETTER_RUN.findall(words))
            is_wrong = (
                _has_marks_of_another(words, case.language)
                or _is_other_chinese(words, case.locale)
                or (
                    _is_wrong_script(letters, script, case.language)
                    if script or _OTHER_SCRIPT.search(letters)
                    else _is_wrong(words, letters, case.language)
                )
            )
            if is_wrong:
                findings.append(finding("wrong_language", reading, start, start + len(sentence[1]), case.language))
        checked += " " + found.group(0).replace(FILL, " ")
    if not findings and reading.name == "body" and _has_marks_of_another(checked, case.language):
        findings.append(finding("wrong_language", reading, 0, len(reading.plain), case.language))
    if not findings and not script and reading.name == "body" and case.language in _DETECTED:
        if _is_plain(checked, case.language) and not _CLOSE.get(case.language):
            return findings
        values = _confidences(" ".join(checked.split()))
        best = max(values, key=lambda code: values[code])
        near = _CLOSE.get(case.language, frozenset())
        letters = "".join(_LETTER_RUN.findall(checked))
        mine, theirs = _small_words(checked, case.language)
        if mine >= 3 and mine >= theirs and best not in near:
            return findings
        if (
            best != case.language
            and best not in near
            and len(letters) >= _SHORT
            and (len(letters) >= _ENOUGH or theirs > mine)
            and values[best] > 0.6
            and values[case.language] < 0.2
        ):
            findings.append(finding("wrong_language", reading, 0, len(reading.plain), case.language))
    return findings


def _pieces(paragraph: str) -> list[tuple[int, str]]:
    """The sentences of a paragraph with their positions, short ones joined to the one before."""
    pieces: list[tuple[int, str]] = []
    for found in re.finditer(r".+?(?:[.!?。！？](?=\s|$)|\n|$)", paragraph, re.DOTALL):
        letters = sum(map(len, _LETTER_RUN.findall(found.group(0))))
        if pieces and letters < _SHORT:
            start, before = pieces[-1]
            pieces[-1] = (start, before + found.group(0))
        else:
            pieces.append((found.start(), found.group(0)))
    return pieces


def _small_words(words: str, language: str) -> tuple[int, int]:
    """How many small words are of the language, and how many of whichever other one has most; one as good as the same is no other."""
    table = languages_of_words()
    counts: dict[str, int] = {}
    for word in _LETTER_RUN.findall(fold(words)):
        for code in table.get(word, ()):
            counts[code] = counts.get(code, 0) + 1
    close = _CLOSE.get(language, frozenset())
    others = max((count for code, count in counts.items() if code != language and code not in close), default=0)
    return counts.get(language, 0), others


def reads_as(words: str, language: str) -> bool:
    """Whether a passage has as many small words of `language` as of any other: a French "court" makes no English sentence."""
    own, others = _small_words(words, language)
    return own >= others and (own > 0 or len(words.split()) <= 4)


@lru_cache(maxsize=1)
def _relatives() -> dict[str, tuple[re.Pattern[str] | None, frozenset[str], frozenset[str]]]:
    """Of languages that a detector takes for one another: letters and words of the relative that are not its own, and its own; from `words/relatives.json`."""
    content: dict[str, dict[str, str]] = json.loads(
        Path(__file__).with_name("words").joinpath("relatives.json").read_text(encoding="utf-8")
    )
    return {
        code: (
            re.compile(f"(?i)[{marks['letters']}]") if marks.get("letters") else None,
            frozenset(fold(marks.get("others", "")).split()),
            frozenset(fold(marks.get("own", "")).split()),
        )
        for code, marks in content.items()
    }


def _has_marks_of_another(words: str, language: str) -> bool:
    """Whether a sentence has what only a close relative of the language has: two words of its own, or two letters that ours is written without."""
    marks = _relatives().get(language)
    if marks is None:
        return False
    letters, others, own = marks
    if letters is not None and len(letters.findall(words)) >= _MARKS:
        return True
    tokens = {fold(word) for word in _LETTER_RUN.findall(words)}
    return len(tokens & others) >= _MARKS and len(tokens & others) > len(tokens & own)


def _is_other_chinese(words: str, tag: str) -> bool:
    """Whether a sentence to a reader of traditional characters is in simplified ones, or the other way round."""
    if language_of(tag) != "zh":
        return False
    is_traditional = re.search(r"(?i)hant|tw|hk|mo", tag[2:]) is not None
    others = _relatives()["zh-Hant" if is_traditional else "zh-Hans"][0]
    return others is not None and len(others.findall(words)) >= _CHARACTERS


def _is_plain(words: str, language: str) -> bool:
    """Whether small words alone show the language: several of its own, and more than any other language has. Spares the detector."""
    own, others = _small_words(words, language)
    return own >= 3 and own > others + (1 if others > 3 else 0)


def _is_wrong(words: str, letters: str, language: str) -> bool:
    if len(letters) < _SHORT or language not in _DETECTED or len(words.split()) < 4 or _is_plain(words, language):
        return False
    values = _confidences(" ".join(words.split()))
    best = max(values, key=lambda code: values[code])
    if best == language or best in _CLOSE.get(language, frozenset()):
        return False
    own = values.get(language, 0.0)
    mine, theirs = _small_words(words, language)
    if mine >= 3 and mine >= theirs:
        return False
    if len(letters) < _ENOUGH and len(re.findall(_OWN_LETTERS.get(language, "(?!)"), words.lower())) >= _MARKS:
        return False
    # A short passage is told by letters and small words together; two languages close to one another share what they get by letters.
    is_told_by_words = own < 0.02 and theirs - mine >= 2
    if len(letters) < _ENOUGH:
        return is_told_by_words or (own < 0.02 and mine < theirs and values[best] > 0.9)
    return is_told_by_words or (values[best] > 0.7 and own < 0.1)


def _is_wrong_script(letters: str, script: str | None, language: str) -> bool:
    """For languages with a script of their own: a passage mostly in another one. Latin passages within them are allowed when short."""
    if len(letters) < 8:
        return False
    if script is None:
        return len(_OTHER_SCRIPT.findall(letters)) > len(letters) * 0.3
    if language in ("ja", "ko"):
        runs = [run for run in re.findall(r"[\u4e00-\u9fff]+", letters) if len(run) >= (4 if language == "ko" else 6)]
        if any(language == "ko" or set(run) & _CHINESE for run in runs):
            return True
    own = len(re.findall(script, letters))
    if language in ("ja",) and own >= 8 and not re.search(r"[\u3040-\u30ff]", letters):
        return own > 14
    if language == "zh" and re.search(r"[\u3040-\u30ff]{2,}", letters):
        return True
    return own < len(letters) * 0.3 and len(letters) >= _SHORT - 4
