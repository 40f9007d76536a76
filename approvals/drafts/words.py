"""Word lists per language, from `words/<language>.json`, compiled once and searched fast.

A list entry is a small pattern over folded text (lower case, no accents): a space stands for any white space, `*` after a stem for any
ending, `...` for up to four words between, `.{0,9}` for up to nine characters of the sentence, `(a|b)` for a choice, `x?` for an optional character.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from approvals.drafts.folding import FILL, LETTERS, fold_pattern

_FOLDER = Path(__file__).with_name("words")
# A gap of a few words; a known name that was taken out counts as a word. It never runs over the end of a sentence.
_GAP = rf"(?:[^\w{FILL}'%.!?。！？\n]+[\w{FILL}'%]+){{0,4}}?[^\w{FILL}'%.!?。！？\n]+"
_AT_END = r"\s*$"
_SENTENCE_END = re.compile(r"[.!?;。！？\n](?=\s|$)|[。！？\n]")
_ALL = re.compile(r".+", re.DOTALL)
_BEGINNING, _EVERYTHING = 4, "*"
_SOME = r"[^.!?;。！？।\n]{"
_CJK_GAP = r"[^.!?。！？\n]{0,12}?"

PHRASE_RULES = (
    "threat_legal",
    "promise",
    "false_urgency",
    "consequence",
    "discount",
    "instalments",
    "state_claim",
    "prompt_leak",
    "asks_secret",
)


# What two kinds of words say together, in either order, at most so many characters apart in one sentence: languages with a free word order, and
# authors nobody foresaw, put the same thing in many ways. The kinds are the "kinds" of a language's file.
CONSTRUCTIONS: tuple[tuple[str, str, str, int], ...] = (
    ("state_claim", "money", "arrived", 40),
    ("state_claim", "bill", "undone", 40),
    ("state_claim", "access", "ended", 40),
    ("state_claim", "owe", "nothing", 30),
    ("state_claim", "file", "closed", 40),
    ("needless", "no_need", "paying", 40),
    ("consequence", "access", "shuts", 40),
    ("false_urgency", "few", "hours", 20),
    ("false_urgency", "until", "soon", 16),
    ("false_urgency", "until", "hours", 20),
    ("false_urgency", "must", "soon", 50),
    ("discount", "lowers", "sum", 40),
    ("discount", "part", "pays", 40),
    ("discount", "forgives", "sum", 50),
    ("discount", "month", "on_us", 30),
    ("promise", "access", "stays", 40),
    ("promise", "never", "costs", 40),
    ("promise", "back", "all", 40),
    ("promise", "bears", "fees", 40),
    ("threat_legal", "passes", "file", 40),
    ("threat_legal", "outsider", "collects", 50),
    ("threat_legal", "tells", "partners", 50),
    ("threat_legal", "boss", "liable", 60),
    ("promise", "team", "unnoticed", 60),
    ("promise", "plan", "unchanged", 50),
    ("discount", "sum", "negotiable", 50),
    ("state_claim", "our_side", "settled", 40),
    ("state_claim", "bank", "sent", 40),
    ("state_claim", "money", "lodged", 50),
    ("prompt_leak", "wanted", "text", 40),
    ("prompt_leak", "omits", "told", 60),
    ("prompt_leak", "note", "ignored", 60),
)


@dataclass(frozen=True, slots=True)
class Phrase:
    """One entry: its pattern is run only where one of its literals occurs at all."""

    source: str
    literals: tuple[str, ...]
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True, eq=False)
class Lexicon:
    """The words of one language. `lists` holds plain lists by name, `phrases` the compiled ones by rule."""

    language: str
    is_spaced: bool
    phrases: dict[str, tuple[Phrase, ...]]
    kinds: dict[str, tuple[Phrase, ...]]
    lists: dict[str, tuple[str, ...]]
    numbers: dict[str, int]
    units: dict[str, re.Pattern[str] | None] = field(default_factory=dict)
    compiled: dict[str, re.Pattern[str] | None] = field(default_factory=dict)
    vocabulary: dict[tuple[str, ...], frozenset[str]] = field(default_factory=dict)
    numbered: list[tuple[str, Phrase]] = field(default_factory=list)
    beginnings: dict[str, list[int]] = field(default_factory=dict)
    lengths: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Number the phrases, and put them under the beginnings of their literals; one without any is under the empty text, which is everywhere."""
        self.numbered.extend((group, phrase) for group, phrases in (*self.phrases.items(), *self.kinds.items()) for phrase in phrases)
        for number, (_, phrase) in enumerate(self.numbered):
            for beginning in {literal[:_BEGINNING] for literal in phrase.literals} or {""}:
                self.beginnings.setdefault(beginning, []).append(number)
        self.lengths.update(map(len, self.beginnings))

    def scan(self, folded: str) -> dict[str, list[re.Match[str]]]:
        """Every place in folded text where an entry matches, by rule. One pass over literals, which is what makes it fast."""
        possible = self._possible(folded)
        found = {rule: matches for rule in self.phrases if rule in possible and (matches := _matches(possible[rule], folded))}
        soon = _matches(possible.get("soon", ()), folded)
        dated = {match.end() for match in soon if _is_dated(match)}
        kinds = {"soon": [match for match in soon if match.end() not in dated]}

        def places(kind: str) -> list[re.Match[str]]:
            if kind not in kinds:
                kinds[kind] = _matches(possible.get(kind, ()), folded)
            return kinds[kind]

        for rule, one, other, reach in CONSTRUCTIONS:
            # The second kind is the rarer one: where it is missing, the first need not be looked for.
            together = _pairs(folded, places(one), places(other), reach) if places(other) else []
            if together:
                found.setdefault(rule, []).extend(together)
        if dated and "false_urgency" in found:
            found["false_urgency"] = [match for match in found["false_urgency"] if match.end() not in dated]
        return found

    def _possible(self, folded: str) -> dict[str, list[Phrase]]:
        """Of each rule and kind the phrases that may stand in the text, told by the beginnings of their literals: a few in a hundred, found without
        asking the others one by one, so that longer lists cost next to nothing."""
        beginnings = {folded[at : at + length] for length in self.lengths for at in range(len(folded) - length + 1)}
        numbers = sorted({number for key in self.beginnings.keys() & beginnings for number in self.beginnings[key]})
        possible: dict[str, list[Phrase]] = {}
        for number in numbers:
            group, phrase = self.numbered[number]
            possible.setdefault(group, []).append(phrase)
        return possible

    def any_of(self, name: str) -> re.Pattern[str] | None:
        """One pattern for a plain list, or None when the language has none."""
        if name not in self.compiled:
            self.compiled[name] = _alternatives(self.lists.get(name, ()), self.is_spaced)
        return self.compiled[name]

    def all_words(self) -> frozenset[str]:
        """Every word that any list, kind or phrase of this language has: the vocabulary of messages about payments."""
        if (_EVERYTHING,) not in self.vocabulary:
            entries = [entry for entries in self.lists.values() for entry in entries] + [phrase.source for _, phrase in self.numbered]
            self.vocabulary[_EVERYTHING,] = frozenset(word for entry in entries for word in re.findall(LETTERS, fold_pattern(entry)))
        return self.vocabulary[_EVERYTHING,]

    def all_stems(self) -> frozenset[str]:
        """The first five letters of every word of `all_words`: enough to tell another form of one."""
        if ("stems",) not in self.vocabulary:
            self.vocabulary["stems",] = frozenset(word[:5] for word in self.all_words())
        return self.vocabulary["stems",]

    def words_in(self, *names: str) -> frozenset[str]:
        """The single words of plain lists, folded."""
        if names not in self.vocabulary:
            entries = (entry for name in names for entry in self.lists.get(name, ()))
            self.vocabulary[names] = frozenset(word for entry in entries for word in re.findall(LETTERS, fold_pattern(entry)))
        return self.vocabulary[names]


def _matches(phrases: Iterable[Phrase], folded: str) -> list[re.Match[str]]:
    """Every place where one of the phrases stands. A pattern is run only where one of its literals occurs."""
    found: list[re.Match[str]] = []
    for phrase in phrases:
        for literal in phrase.literals:
            if literal in folded:
                break
        else:
            if phrase.literals:
                continue
        found += phrase.pattern.finditer(folded)
    return found


def _is_dated(found: re.Match[str]) -> bool:
    """Whether a weekday stands beside a date, which was judged and taken out."""
    return FILL in found.string[max(0, found.start() - 3) : found.start()] + found.string[found.end() : found.end() + 8]


def _pairs(folded: str, ones: Sequence[re.Match[str]], others: Sequence[re.Match[str]], reach: int) -> list[re.Match[str]]:
    """The stretches from one to the other that do not overlap and have no end of a sentence between them, in either order."""
    found: list[re.Match[str]] = []
    for one in ones:
        for other in others:
            first, last = (one, other) if one.start() <= other.start() else (other, one)
            between = folded[first.end() : last.start()]
            if first.end() > last.start() or len(between) > reach or _SENTENCE_END.search(between):
                continue
            found += _ALL.finditer(folded, first.start(), last.end())
    return found


def to_regex(entry: str, is_spaced: bool) -> str:
    """The regular expression of one entry, without word boundaries. `\\s*$` at its end ties it to the end of the text searched."""
    if entry.endswith(_AT_END):
        return to_regex(entry[: -len(_AT_END)], is_spaced) + r"\s*$"
    folded = fold_pattern(entry)
    folded = folded.replace("...", "\x00")
    folded = re.sub(r"\.(?!\{\d)", r"\.", folded).replace("$", r"\$").replace(".{", _SOME)
    folded = re.sub(r"^\*|(?<=[(| ])\*(?=\w)|(?<=[\w'’])\*|(?<=[^ (]\))\*", r"\\w*", folded)
    folded = folded.replace(" ?", r"[\s\-]*")
    folded = re.sub(r" *\x00 *", lambda found: _GAP if is_spaced else _CJK_GAP, folded)
    return re.sub(r" +", r"[\\s\\-]+" if is_spaced else r"\\s*", folded)


def _bounded(body: str, is_spaced: bool) -> str:
    return rf"(?<!\w)(?:{body})(?!\w)" if is_spaced else f"(?:{body})"


def _literals(pattern: str) -> tuple[str, ...]:
    """Stretches one of which occurs wherever the pattern matches, the longest that can be told; nothing when there is none."""
    return _required(re._parser.parse(pattern))  # type: ignore[attr-defined]  # what `re` itself makes of it: nothing else reads all of its forms right


def _required(tree: Iterable[tuple[Any, Any]]) -> tuple[str, ...]:
    """The best set of required stretches in a sequence: the one whose shortest member is longest, the smaller of equal ones."""
    found: list[tuple[str, ...]] = []
    run = ""
    for kind, what in tree:
        name = str(kind)
        if name == "LITERAL":
            run += chr(what)
            continue
        if name in ("AT", "ASSERT", "ASSERT_NOT"):
            continue  # of no width: what stands beside it is still one stretch
        found.append((run,))
        run = ""
        if name == "SUBPATTERN" or (name == "MAX_REPEAT" and what[0] >= 1):
            found.append(_required(what[-1]))
        elif name == "BRANCH":
            branches = [_required(branch) for branch in what[1]]
            found.append(tuple(dict.fromkeys(one for branch in branches for one in branch)) if all(branches) else ())
    found.append((run,))
    found = [one for one in found if one and all(one)]
    return max(found, key=lambda one: (min(_BEGINNING, *map(len, one)), -len(one)), default=())


@lru_cache(maxsize=4096)
def _alternatives(entries: tuple[str, ...], is_spaced: bool) -> re.Pattern[str] | None:
    if not entries:
        return None
    bodies = sorted((to_regex(entry, is_spaced) for entry in entries), key=len, reverse=True)
    return re.compile(_bounded("|".join(bodies), is_spaced))


@lru_cache(maxsize=1)
def supported_languages() -> frozenset[str]:
    """The languages we hold word lists for."""
    return frozenset(path.stem for path in _FOLDER.glob("??.json"))


def has_full_lists(language: str) -> bool:
    """Whether the language's file also has the kinds of words that `CONSTRUCTIONS` pairs, and not only its phrases."""
    found = lexicon(language)
    return found is not None and bool(found.kinds)


def _phrase(entry: str, is_spaced: bool) -> Phrase:
    pattern = to_regex(entry, is_spaced)
    return Phrase(entry, _literals(pattern), re.compile(_bounded(pattern, is_spaced)))


@lru_cache(maxsize=64)
def lexicon(language: str) -> Lexicon | None:
    """The words of a language, or None when there is no file for it."""
    path = _FOLDER / f"{language}.json"
    if language not in supported_languages():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    is_spaced = bool(content.get("spaced", True))
    kinds: dict[str, list[str]] = content.get("kinds", {})
    return Lexicon(
        language=language,
        is_spaced=is_spaced,
        phrases={rule: tuple(_phrase(entry, is_spaced) for entry in content.get(rule, ())) for rule in PHRASE_RULES},
        kinds={kind: tuple(_phrase(entry, is_spaced) for entry in entries) for kind, entries in kinds.items()},
        lists={key: tuple(value) for key, value in content.items() if isinstance(value, list)}
        # Said of a payment or an invoice and denied, these claim nothing: "no payment has arrived".
        | {
            "paid_words": (
                *content.get("paid_words", ()),
                *kinds.get("arrived", ()),
                *kinds.get("undone", ()),
                *kinds.get("ended", ()),
                *kinds.get("closed", ()),
                *kinds.get("settled", ()),
                *kinds.get("sent", ()),
                *kinds.get("lodged", ()),
            ),
            "shut_words": tuple(kinds.get("shuts", ())),
            "access_words": tuple(kinds.get("access", ())),
            "part_words": tuple(kinds.get("part", ())),
            # What a part payment does not make true.
            "whole_words": tuple(entry for kind in ("all", "settled", "undone", "ended", "closed") for entry in kinds.get(kind, ())),
        },
        numbers={fold_pattern(word): number for word, number in content.get("numbers", {}).items()},
        units={unit: _alternatives(tuple(words), is_spaced) for unit, words in content.get("units", {}).items()},
    )


@lru_cache(maxsize=32)
def everywhere(kind: str) -> re.Pattern[str]:
    """The words of one kind in all languages together, for what is asked of a sentence whatever it is written in; from `words/everywhere.json`, whose
    entries are regular expressions over folded text."""
    content: dict[str, list[str]] = json.loads((_FOLDER / "everywhere.json").read_text(encoding="utf-8"))
    return re.compile("|".join(content[kind]))


@lru_cache(maxsize=1)
def languages_of_words() -> dict[str, frozenset[str]]:
    """For each common small word, folded, the languages it is one of."""
    content: dict[str, str] = json.loads((_FOLDER / "stopwords.json").read_text(encoding="utf-8"))
    languages: dict[str, set[str]] = {}
    for language, words in content.items():
        for word in words.split():
            languages.setdefault(fold_pattern(word), set()).add(language)
    return {word: frozenset(codes) for word, codes in languages.items()}
