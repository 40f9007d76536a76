"""Which function answers which operation of the SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from billing_ai.simulator.site import Site

Handler = Callable[[Site, list[str], dict[str, Any]], dict[str, Any]]
HANDLERS: dict[str, Handler] = {}


def answers(*keys: str) -> Callable[[Handler], Handler]:
    """Register a handler for operations such as `invoice.retrieve`. It gets the ids in the path and the checked parameters."""

    def register(handler: Handler) -> Handler:
        for key in keys:
            HANDLERS[key] = handler
        return handler

    return register
