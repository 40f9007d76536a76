"""The only module that touches litellm, and only inside functions: it costs seconds and 165 MB, and the web processes never pay for it.

One call, one request: `max_retries=0`, an explicit timeout, the synchronous `completion`, no callbacks (they carry the key), no telemetry.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from agents.platform.llm import offline, scripted
from agents.platform.llm.transport import AnswerTooLong, CappedTransport
from approvals.drafts import built_in

logger = logging.getLogger(__name__)

MAX_OUTPUT_TOKENS = 2_000
_setting_up = threading.Lock()
_litellm: Any = None


class CallFailed(Exception):
    """The provider gave no answer. `code` goes into the call's row; `sentence` is ours, never the provider's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        self.sentence = SENTENCES[code]


SENTENCES = {
    "timeout": "did not answer in time",
    "unreachable": "could not be reached",
    "rate_limited": "took no more requests",
    "unauthorised": "did not accept the key",
    "refused": "refused the request",
    "server_error": "had an error of its own",
    "too_long": "sent more than an answer may hold",
    "garbage": "sent what is no answer",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A provider's answer. Cost in millionths of a US dollar, None when unknown."""

    text: str
    input_tokens: int | None
    output_tokens: int | None
    cost_micro_usd: int | None


def loaded() -> Any:
    """litellm, set up once a process: local price list, quiet, no callbacks, our transport, the offline provider registered."""
    global _litellm
    with _setting_up:
        if _litellm is None:
            os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
            os.environ.setdefault("LITELLM_LOG", "CRITICAL")
            import litellm

            for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
                # Its messages may quote requests and keys. What happened is in the calls' rows.
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
            litellm.suppress_debug_info = True
            litellm.turn_off_message_logging = True
            litellm.drop_params = True
            litellm.num_retries = 0
            litellm.callbacks, litellm.success_callback, litellm.failure_callback, litellm.input_callback = [], [], [], []
            transport = CappedTransport()
            litellm.sync_transport = transport
            litellm.client_session = httpx.Client(transport=transport, follow_redirects=False)
            scripted.register(litellm, offline.PROVIDER, offline.answer)
            _litellm = litellm
        return _litellm


def preload() -> None:
    """For a worker's parent process before it forks: litellm once for all children, and out of the garbage collector's way, so that the pages
    stay shared. Nothing is answered: a thread started now would not be there in the children."""
    litellm = loaded()
    litellm.get_llm_provider(settings.LLM_MODEL)
    built_in.languages()
    # Much of the library (its tables of tokens among it, 40 MB) is loaded by its first call. One that is refused starts no thread.
    with suppress(litellm.BadRequestError):
        litellm.completion(
            model=f"{offline.PROVIDER}/rehearsal", messages=[{"role": "user", "content": "no case"}], max_retries=0, num_retries=0
        )
    gc.collect()
    gc.freeze()


def add_scripted(name: str, answer: scripted.Answer) -> None:
    """Makes `<name>/…` a model that answers by a function in this process, for trials."""
    scripted.register(loaded(), name, answer)


def provider_of(model: str) -> str:
    """The part of a litellm model name that says who serves it; `openai` when there is none."""
    prefix, slash, _ = model.partition("/")
    return prefix if slash else "openai"


def is_free(model: str) -> bool:
    """The built-in provider costs nothing, and that is known."""
    return provider_of(model) == offline.PROVIDER


def _credentials(model: str) -> dict[str, str]:
    """Key and address for a model. Those of LLM_MODEL go to its own provider only; another provider takes its key from its own variable, as litellm
    names it, so that no key reaches a stranger."""
    if is_free(model) or provider_of(model) != provider_of(settings.LLM_MODEL):
        return {}
    found: dict[str, str] = {}
    if settings.LLM_API_BASE:
        found["api_base"] = settings.LLM_API_BASE
        found["api_key"] = settings.LLM_API_KEY or "none-needed"
    elif settings.LLM_API_KEY:
        found["api_key"] = settings.LLM_API_KEY
    return found


def estimate_micro_usd(model: str, messages: Sequence[Mapping[str, str]], max_tokens: int) -> int | None:
    """The most that a call can cost, in millionths of a US dollar; None when litellm's list has no price for the model."""
    if is_free(model):
        return 0
    prices = loaded().model_cost
    row = prices.get(model) or prices.get(model.partition("/")[2]) or {}
    input_price, output_price = row.get("input_cost_per_token"), row.get("output_cost_per_token")
    if not input_price or not output_price:
        return None
    # One token a character is the worst that tokenizers do to any script, near enough.
    characters = sum(len(message["content"]) for message in messages)
    micro_usd: int = math.ceil((characters * input_price + max_tokens * output_price) * 1_000_000)
    return micro_usd


def _cost(model: str, response: Any) -> int | None:
    if is_free(model):
        return 0
    cost = getattr(response, "_hidden_params", {}).get("response_cost")
    # A model that is not in the list comes back as None or as 0; neither is a price.
    return math.ceil(cost * 1_000_000) if cost else None


def _code(litellm: Any, error: BaseException) -> str:
    """The closed table of failures."""
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            break
        # What the wire said is surer than the class that litellm made of it.
        for kinds, code in ((AnswerTooLong, "too_long"), (httpx.TimeoutException, "timeout"), (httpx.TransportError, "unreachable")):
            if isinstance(cause, kinds):
                return code
        cause = cause.__cause__ or cause.__context__
    table = (
        (litellm.Timeout, "timeout"),
        (litellm.RateLimitError, "rate_limited"),
        ((litellm.AuthenticationError, litellm.PermissionDeniedError), "unauthorised"),
        ((litellm.BadRequestError, litellm.NotFoundError, litellm.UnprocessableEntityError), "refused"),
        (litellm.APIResponseValidationError, "garbage"),
        ((litellm.InternalServerError, litellm.ServiceUnavailableError), "server_error"),
        (litellm.APIConnectionError, "unreachable"),
        (litellm.APIError, "server_error"),
    )
    return next((code for kinds, code in table if isinstance(error, kinds)), "garbage")


def complete(
    model: str,
    messages: Sequence[Mapping[str, str]],
    *,
    timeout: float,
    max_tokens: int = MAX_OUTPUT_TOKENS,
    response_format: Mapping[str, Any] | None = None,
) -> Reply:
    """One request to one model. Raises CallFailed for whatever goes wrong out there."""
    litellm = loaded()
    extra: dict[str, Any] = {"response_format": dict(response_format)} if response_format else {}
    try:
        response = litellm.completion(
            model=model,
            messages=[dict(message) for message in messages],
            timeout=timeout,
            max_tokens=max_tokens,
            temperature=0.3,
            max_retries=0,
            num_retries=0,
            **_credentials(model),
            **extra,
        )
        text = response.choices[0].message.content
        usage = getattr(response, "usage", None)
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:  # noqa: BLE001 - the library lets parsers' errors of any class through; none of them may end a run
        code = _code(litellm, error)
        logger.warning("llm.call_failed", extra={"model": model, "code": code, "error": type(error).__name__})
        # The chain is cut: a provider's message may quote the request or the key.
        raise CallFailed(code) from None
    return Reply(
        text=text if isinstance(text, str) else "",
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        cost_micro_usd=_cost(model, response),
    )


def _count(usage: Any, name: str) -> int | None:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) and 0 <= value < 2_000_000_000 else None
