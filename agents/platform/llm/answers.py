"""A model's text read into a checked answer, or refused with a word that says why. Slots are the only facts an answer may name."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from agents.platform.llm.requests import DraftRequest, Judgement
from approvals.contract import Words
from approvals.drafts import built_in, slots
from approvals.drafts.untrusted import clean

MAX_ANSWER_CHARACTERS = 24_000
MAX_SUBJECT = 160
MAX_BODY = {"email": 4_000, "sms": 600}
MAX_REASONS = 5
MIN_LETTERS = 12
"""Fewer letters than these outside the slots are no message: "thank" and a link is what a model answers that does as a customer's text bids it."""


class BadAnswer(ValueError):
    """An answer that cannot be used. `code` goes into the call's row, `sentence` to the model (for one repair) and the reviewer; neither
    quotes the answer."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence


class DraftSchema(BaseModel):
    """The form in which a model answers a request for a draft."""

    model_config = ConfigDict(extra="forbid", strict=True)

    subject: Annotated[str, StringConstraints(max_length=MAX_SUBJECT)]
    body: Annotated[str, StringConstraints(min_length=1, max_length=max(MAX_BODY.values()))]
    channel: Literal["email", "sms"]
    tone: Literal["warm", "neutral", "firm"]
    language: Annotated[str, StringConstraints(min_length=2, max_length=35)]
    reasons: Annotated[list[Annotated[str, StringConstraints(max_length=300)]], Field(max_length=MAX_REASONS)]


class JudgeSchema(BaseModel):
    """The form in which a judge answers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    block: bool
    reason: Annotated[str, StringConstraints(max_length=300)]


Schema = TypeVar("Schema", bound=BaseModel)

_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


def read_json(text: str, schema: type[Schema]) -> Schema:
    """The one JSON object in a model's text, checked against `schema`. A code fence or a word before it is forgiven; a second object is not.

    Raises BadAnswer: empty, too_long, not_json, schema.
    """
    if not text.strip():
        raise BadAnswer("empty", "The answer was empty.")
    if len(text) > MAX_ANSWER_CHARACTERS:
        raise BadAnswer("too_long", f"The answer was longer than {MAX_ANSWER_CHARACTERS} characters.")
    text = _THOUGHTS.sub("", text)
    start = text.find("{")
    try:
        value, end = json.JSONDecoder().raw_decode(text, max(start, 0))
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadAnswer("not_json", "The answer was not one JSON object.") from error
    if start < 0 or text[end:].strip().strip("`").strip():
        raise BadAnswer("not_json", "The answer held more than one JSON object.")
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        wrong = sorted({".".join(str(part) for part in problem["loc"][:1]) or "the object" for problem in error.errors()})
        known = [name for name in wrong if name in schema.model_fields or name == "the object"] or ["unknown fields"]
        raise BadAnswer("schema", f"The answer did not fit the schema: {', '.join(known)}.") from error


_ADDRESS = re.compile(
    r"(?i)https?:|www\.|[\w.+-]+@[\w-]+\.\w|\b[\w-]+\.(?:com|net|org|io|co|example|app|dev|info|biz|eu|de|fr|es|it|nl|br|jp|uk)\b"
)


def fact_outside_slots(template: str) -> str | None:
    """What kind of fact stands outside a slot in a template: `a digit` or `an address`; None when there is none."""
    words = "\n".join(segment.text for segment in slots.parse(template) if isinstance(segment, slots.Words))
    if any(unicodedata.category(character) in ("Nd", "Nl", "No") for character in words):
        return "a digit"
    return "an address" if _ADDRESS.search(unicodedata.normalize("NFKC", words)) else None


def _hidden(text: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs") and character not in "\n\u200d\u200c" for character in text)


def _letters(template: str) -> int:
    return sum(character.isalpha() for segment in slots.parse(template) if isinstance(segment, slots.Words) for character in segment.text)


_WORD = re.compile(r"[^\W\d_]{4,}")


# Scripts without spaces have no words to compare: pairs of characters stand in for them.
_PAIR = re.compile(r"(?=([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2}))")


def _words(text: str) -> set[str]:
    plain = unicodedata.normalize("NFKC", text)
    # Six letters are enough to know a word again under another ending.
    return {word.casefold()[:6] for word in _WORD.findall(plain)} | set(_PAIR.findall(plain))


def echoes_customer(subject: str, body: str, request: DraftRequest) -> bool:
    """Whether the text repeats a word that only customer-written text holds: one that neither the prompt nor the built-in texts know.

    Looks at the untrusted texts, and at the names, which only a slot may bring in. Errs towards yes: the draft then gives way to the next model
    or the template.
    """
    suspects = [*request.untrusted.values(), *request.never_send]
    if not suspects:
        return False
    written = "\n".join(part.text for template in (subject, body) for part in slots.parse(template) if isinstance(part, slots.Words))
    ours = _words(request.prompt.system) | _words(built_in.vocabulary(request.language)) | _words(request.instruction)
    return bool((_words(written) & _words("\n".join(suspects))) - ours)


def read_draft(text: str, request: DraftRequest) -> tuple[Words, tuple[str, ...]]:
    """The words of a draft and the model's reasons. Raises BadAnswer: those of `read_json`, and channel, language, slots, facts, echo, characters."""
    answer = read_json(text, DraftSchema)
    if answer.channel != request.channel:
        raise BadAnswer("channel", f"The message must be for {request.channel}.")
    if answer.language.replace("_", "-").split("-")[0].lower() != request.language.replace("_", "-").split("-")[0].lower():
        raise BadAnswer("language", f"The message must be in {request.language}.")
    subject, body = answer.subject.strip(), answer.body.strip()
    if request.channel == "email" and not subject:
        raise BadAnswer("schema", "The answer did not fit the schema: a mail needs a subject.")
    if len(body) > MAX_BODY[request.channel]:
        raise BadAnswer("too_long", f"The body was longer than {MAX_BODY[request.channel]} characters.")
    if not body:
        raise BadAnswer("empty", "The body was empty.")
    if "\n" in subject or "\r" in subject or _hidden(subject) or _hidden(body):
        raise BadAnswer("characters", "The text held line breaks in the subject, or control or hidden characters.")
    for template in (subject, body):
        if slots.problems(template, channel=request.channel) or not request.allowed_slots.issuperset(slots.slots_used(template)):
            raise BadAnswer("slots", "The text used a slot that is not in the list of allowed slots, or a placeholder.")
        fact = fact_outside_slots(template)
        if fact is not None:
            raise BadAnswer("facts", f"The text held {fact} outside a slot.")
    if echoes_customer(subject, body, request):
        raise BadAnswer("echo", "The text repeated words of a customer's own text.")
    if _letters(body) < MIN_LETTERS:
        raise BadAnswer("empty", "The body said next to nothing.")
    # A model that has read customers' texts must not speak to the reviewer: an order hidden there would.
    given = () if request.untrusted else answer.reasons
    # Nor does it repeat a word of a customer's name, however plain ("thank"): a name may hold an order, too.
    theirs = _words("\n".join(request.never_send))
    reasons = tuple(
        reason
        for reason in (clean(text, cap=300) for text in given)
        if reason and fact_outside_slots(reason) is None and not _words(reason) & theirs
    )
    words = Words(
        channel=request.channel,
        language=request.language,
        tone=answer.tone,
        subject=subject if request.channel == "email" else "",
        body=body,
    )
    return words, reasons


def read_judgement(text: str) -> Judgement:
    """What the judge says. It cannot lift anything: its best word is `pass`. Raises BadAnswer."""
    answer = read_json(text, JudgeSchema)
    return Judgement("block" if answer.block else "pass", clean(answer.reason, cap=300))


def json_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """The schema as providers take it in `response_format`: closed, every field required."""
    return {
        "type": "json_schema",
        "json_schema": {"name": schema.__name__, "strict": True, "schema": schema.model_json_schema()},
    }
