"""What an agent asks of the gateway and what it gets back: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from agents.platform.prompts import Prompt, PromptValue
from approvals.contract import Words

STAGES = ("first_notice", "reminder", "last_notice", "apology", "check_in")
TONES = ("warm", "neutral", "firm")

JudgeSays = Literal["none", "pass", "person", "block"]


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """One message to be written.

    `variables` holds what the prompt declares beyond the fields here: derived values, never personal data. `allowed_slots` are those that have a
    fact in this case (`approvals.drafts.slots.slots_for`). `untrusted` is customer-written text by a label; the gateway caps and marks it.
    `never_send` are strings (names, keys) that must not leave in any form.
    """

    agent: str
    run_id: UUID | None
    trace_id: str
    prompt: Prompt
    language: str
    channel: Literal["email", "sms"]
    tone: str
    stage: str
    reason_category: str
    allowed_slots: frozenset[str]
    variables: Mapping[str, PromptValue] = field(default_factory=dict)
    untrusted: Mapping[str, str] = field(default_factory=dict)
    instruction: str = ""
    purpose: str = "draft"
    never_send: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftAnswer:
    """The words, who really wrote them, and what the reviewer must know. `model` is litellm's name, or `template`."""

    words: Words
    model: str
    words_from: Literal["model", "template"]
    prompt_hash: str
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    judge: JudgeSays = "none"
    origin: Mapping[str, Any] = field(default_factory=dict)
    """For the proposal's payload: what the words were composed for and what the judge said of exactly these (`approvals.policy.words_origin`)."""

    @property
    def needs_person(self) -> bool:
        """True when no model could serve, or a judge did not pass the draft: it must not go out by policy alone."""
        return self.words_from == "template" or self.judge in ("person", "block")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the second model says of a draft. `person` also when it was late or could not be read."""

    says: JudgeSays
    sentence: str = ""
