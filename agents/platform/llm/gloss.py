"""A message in plain English for the colleague who decides on it and does not read its language. It is shown, never sent and never kept.

Lines that the built-in writer knows are looked up beside their English sisters, at once and for nothing; a model is asked only for the rest.
Slots go through untouched, so the English says the same facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from agents.platform.llm import gateway, provider
from agents.platform.prompts import Prompt, parse
from approvals.contract import Words
from approvals.drafts import built_in, slots

_FILE = Path(__file__).with_name("gloss.v1.md")
_MOST_LINES = 80


class GlossSchema(BaseModel):
    """The form in which a model answers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    subject: Annotated[str, StringConstraints(max_length=400)]
    lines: Annotated[list[Annotated[str, StringConstraints(max_length=2_000)]], Field(max_length=_MOST_LINES)]


@dataclass(frozen=True, slots=True)
class Gloss:
    """Subject and body in English, with the slots of the message. `unknown` counts the lines that stand in their own language still."""

    subject: str
    body: str
    by: str
    """`built-in`, or the name of the model that was asked."""
    unknown: int
    notes: tuple[str, ...] = ()


def is_english(words: Words) -> bool:
    """Then there is nothing to gloss."""
    return words.language.replace("_", "-").split("-")[0].lower() == "en"


def in_english(words: Words, *, agent: str, trace_id: str, never_send: tuple[str, ...] = ()) -> Gloss:
    """The message in English. Never raises for a model's fault: what nobody could translate stays as it is, and is counted."""
    lines = words.body.split("\n")
    if is_english(words):
        return Gloss(words.subject, words.body, "built-in", 0)
    book = phrase_book(words.language)
    known = [_known(line, book) for line in lines]
    subject = _known(words.subject, book)
    unknown = sum(one is None for one in (subject, *known))
    if not unknown or len(lines) > _MOST_LINES or provider.is_free(settings.LLM_MODEL):
        return _pieced(words, subject, known, unknown)
    answer = gateway.complete_json(
        agent=agent,
        run_id=None,
        trace_id=trace_id,
        purpose="gloss",
        prompt=_prompt(),
        variables={"language": words.language, "subject": words.subject, "lines": tuple(lines)},
        schema=GlossSchema,
        never_send=never_send,
    )
    if answer.value is None:
        return _pieced(words, subject, known, unknown, answer.notes)
    said = Gloss(answer.value.subject, "\n".join(answer.value.lines), answer.model, 0, answer.notes)
    if _facts_in(said.subject, said.body) != _facts_in(words.subject, words.body):
        return _pieced(words, subject, known, unknown, ("The model's English left out or made up a fact, so it is not shown.",))
    return said


def _pieced(words: Words, subject: str | None, known: list[str | None], unknown: int, notes: tuple[str, ...] = ()) -> Gloss:
    lines = [line if english is None else english for line, english in zip(words.body.split("\n"), known, strict=True)]
    return Gloss(words.subject if subject is None else subject, "\n".join(lines), "built-in", unknown, notes)


def _known(line: str, book: dict[str, str]) -> str | None:
    """A line in English; None when the book does not have it. A line of slots alone says the same in every language."""
    text = line.strip()
    if text in book:
        return book[text]
    label, is_link, rest = text.partition("](")
    if is_link and label.startswith("[") and label[1:] in book:
        return f"[{book[label[1:]]}]({rest}"
    is_bare = all(isinstance(part, slots.Chip) or not any(letter.isalpha() for letter in part.text) for part in slots.parse(text))
    return line if is_bare else None


@lru_cache(maxsize=32)
def phrase_book(language: str) -> dict[str, str]:
    """The built-in texts of a language, each with what stands in its place in English. Empty for a language without texts."""
    tag = language.replace("_", "-")
    words = built_in.languages().get(tag.split("-")[0].lower())
    if words is None:
        return {}
    english = dict(_leaves(built_in.languages()["en"]))
    book: dict[str, str] = {}
    for place, text in _leaves(words):
        if place in english:
            # One courtesy may stand for several in English: the first, warmest one will do.
            book.setdefault(text, english[place])
            book.setdefault(built_in.regional(text, words, tag), english[place])
    return book


def _leaves(tree: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(tree, str):
        yield place, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, (*place, str(key)))


def _facts_in(*texts: str) -> list[str]:
    return sorted(part.name for text in texts for part in slots.parse(text) if isinstance(part, slots.Chip))


@lru_cache(maxsize=1)
def _prompt() -> Prompt:
    return parse("platform", _FILE.read_bytes(), _FILE.name)
