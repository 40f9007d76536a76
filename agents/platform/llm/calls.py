"""One attempt at one model, with its row, its reservation and its circuit. Whatever goes wrong becomes an AttemptFailed with a sentence of ours."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction

from agents.models import LlmCall
from agents.platform.llm import budget, circuit, provider
from agents.platform.llm.answers import BadAnswer
from agents.platform.prompts import Prompt

logger = logging.getLogger(__name__)
Read = TypeVar("Read")


class AttemptFailed(Exception):
    """No usable answer from this model. `code` as in the call's row; `sentence` is for the reviewer; `hint` tells the model what to mend, when
    mending could help."""

    def __init__(self, code: str, sentence: str, *, hint: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.sentence = sentence
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Asker:
    """On whose behalf a call is made: goes into the call's row."""

    agent: str
    run_id: UUID | None
    trace_id: str
    prompt: Prompt


def attempt(
    asker: Asker,
    model: str,
    purpose: str,
    messages: Sequence[Mapping[str, str]],
    read: Callable[[str], Read],
    *,
    timeout: float,
    response_format: Mapping[str, Any] | None,
) -> Read:
    """One call, committed as `started` before it is made and settled after it. `read` turns the text into a value or raises BadAnswer.

    Raises AttemptFailed. Raises RuntimeError when called inside a transaction: a row that is not committed is no record.
    """
    if not circuit.is_closed(model):
        raise AttemptFailed("circuit_open", f"The model {model} failed several times in a row and is left alone for a while.")
    estimate = provider.estimate_micro_usd(model, messages, provider.MAX_OUTPUT_TOKENS)
    try:
        with transaction.atomic(durable=True):
            reservation = budget.reserve(asker.agent, estimate)
            call = LlmCall.objects.create(
                run_id=asker.run_id,
                agent=asker.agent,
                purpose=purpose,
                model=model[:100],
                prompt_name=asker.prompt.name,
                prompt_version=asker.prompt.version,
                prompt_hash=asker.prompt.content_hash,
                trace_id=asker.trace_id,
                outcome="started",
            )
    except budget.BudgetSpent as spent:
        raise AttemptFailed(spent.rule, f"{spent.sentence.rstrip('.')} ({spent.rule}).") from None

    began = time.monotonic()
    reply: provider.Reply | None = None
    failure: AttemptFailed | None = None
    value: Read | None = None
    outcome, detail = "interrupted", "The worker stopped during the call."
    try:
        reply = provider.complete(model, messages, timeout=timeout, response_format=response_format)
        value = read(reply.text)
        outcome, detail = "ok", ""
    except provider.CallFailed as failed:
        outcome, detail = failed.code, f"The model {failed.sentence}."
        hint = "The request was refused." if failed.code == "refused" and response_format else ""
        failure = AttemptFailed(failed.code, f"The model {model} {failed.sentence}.", hint=hint)
    except BadAnswer as bad:
        outcome, detail = bad.code, bad.sentence
        failure = AttemptFailed(bad.code, f"The model {model} gave an answer that cannot be used: {bad.sentence}", hint=bad.sentence)
    finally:
        with transaction.atomic(durable=True):
            call.duration_ms = int((time.monotonic() - began) * 1000)
            call.outcome, call.detail = outcome, detail[:200]
            if reply is not None:
                call.input_tokens, call.output_tokens = reply.input_tokens, reply.output_tokens
                call.cost_micro_usd = reply.cost_micro_usd
                call.answer_hash = hashlib.sha256(reply.text.encode("utf-8", "surrogatepass")).hexdigest()
            call.save()
            # A call that failed may have been billed all the same: nobody knows, so its cost stays unknown, unless the provider is free.
            budget.settle(reservation, 0 if provider.is_free(model) else call.cost_micro_usd)
    logger.info("llm.call", extra={"call_id": str(call.id), "model": model, "outcome": outcome, "purpose": purpose})
    if failure is not None:
        raise failure
    assert value is not None
    return value
