"""A function in this process as a model of litellm's: it gets the messages that any model gets, and its text takes the same way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Answer = Callable[[Sequence[dict[str, Any]]], str]
"""Messages in, the answer's text out. A ValueError, KeyError or TypeError is a refused request."""


def register(litellm: Any, name: str, answer: Answer) -> None:
    """Makes `<name>/…` a model. `litellm` is handed in by the one module that may import it."""

    class Scripted(litellm.CustomLLM):  # type: ignore[misc]  # litellm ships no types for its base class
        """litellm's custom provider interface over one function."""

        def completion(self, model: str, messages: list[dict[str, Any]], model_response: Any, **_: Any) -> Any:
            try:
                text = answer(messages)
            except (ValueError, KeyError, TypeError) as error:
                raise litellm.BadRequestError(message="no text for this request", model=model, llm_provider=name) from error
            model_response.model = model
            model_response.choices[0].message.content = text
            model_response.choices[0].finish_reason = "stop"
            # No tokenizer, no tokens.
            model_response.usage = litellm.Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
            return model_response

    kept = [item for item in litellm.custom_provider_map if item["provider"] != name]
    litellm.custom_provider_map = [*kept, {"provider": name, "custom_handler": Scripted()}]
    litellm.utils.custom_llm_setup()
