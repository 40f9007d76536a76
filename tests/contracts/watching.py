"""The SDK's telemetry hook: which operation each request belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chargebee import Chargebee

from tests.contracts.sdk_shapes import snake


class Watched:
    """(resource, operation) of each call, in order."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, str]] = []

    def on_request_start(self, context: Any, request_headers: Any) -> None:
        self.operations.append((snake(context.resource), snake(context.operation)))

    def on_request_end(self, handle: Any, result: Any) -> None:
        """Nothing to do."""

    @classmethod
    @contextmanager
    def over(cls, *sites: Chargebee) -> Iterator[Watched]:
        """Watch these clients for the block."""
        hook = cls()
        for site in sites:
            site.env.telemetry_adapter = hook
        try:
            yield hook
        finally:
            for site in sites:
                site.env.telemetry_adapter = None
