"""A model provider on loopback that behaves, or misbehaves, exactly as told. litellm speaks to it for real."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agents.platform.llm.requests import DraftRequest
from agents.platform.prompts import live_prompt
from tests.serving import serving

SLOTS = frozenset(
    {
        "customer.first_name",
        "invoice.number",
        "invoice.amount_due",
        "invoice.due_date",
        "links.pay",
        "links.update_card",
        "sender.name",
        "vendor.name",
        "support.email",
    }
)
KEY = "sk-test-5d1f0c9e7a3b4826"


def draft_json(**changes: object) -> str:
    """A model's good answer, with changes."""
    answer: dict[str, object] = {
        "subject": "Invoice {{ invoice.number }}",
        "body": "Hello {{ customer.first_name }},\n\nThe payment did not go through. You can pay here: {{ links.pay }}\n\n{{ sender.name }}",
        "channel": "email",
        "tone": "neutral",
        "language": "en-GB",
        "reasons": ["Says what happened and what to do."],
    }
    return json.dumps({**answer, **changes}, ensure_ascii=False)


@dataclass
class Provider:
    """An OpenAI-compatible address. `script` holds one behaviour a request; the last one stays."""

    url: str = ""
    script: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    requests: list[dict[str, object]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def behave(self, *behaviours: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.script[:] = behaviours


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, kind: str = "application/json") -> None:
    handler.send_response(status)
    handler.send_header("content-type", kind)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def says(text: str | None, **usage: int) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers with `text` as a chat completion."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        body = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "served",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 900, "completion_tokens": 150, "total_tokens": 1050} | usage,
        }
        send(handler, 200, json.dumps(body).encode())

    return behave


def fails(status: int) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers with an error that quotes the key, as some providers do."""
    return lambda handler: send(
        handler, status, json.dumps({"error": {"message": f"no: {KEY} rosa@tulpenhof.example", "code": status}}).encode()
    )


@pytest.fixture
def provider(settings) -> Iterator[Provider]:
    """The provider, and settings that point LLM_MODEL at it."""
    told = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.requests.append(json.loads(body))
            told.keys.append(self.headers.get("authorization", ""))
            behave = told.script.pop(0) if len(told.script) > 1 else told.script[0]
            try:
                behave(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        told.url = f"{address}/v1"
        settings.LLM_MODEL = "openai/small-local"
        settings.LLM_API_BASE = told.url
        settings.LLM_API_KEY = KEY
        settings.LLM_FALLBACK_MODELS = []
        settings.LLM_JUDGE_MODEL = ""
        settings.LLM_TIMEOUT_SECONDS = 20
        settings.LLM_DAILY_BUDGET_USD = 20
        yield told
        told.over.set()


@pytest.fixture
def ask() -> Callable[..., DraftRequest]:
    """A request for a draft, with changes."""

    def build(**changes: object) -> DraftRequest:
        values: dict[str, object] = {
            "agent": "dunning",
            "run_id": None,
            "trace_id": "a" * 32,
            "prompt": live_prompt("dunning"),
            "language": "en-GB",
            "channel": "email",
            "tone": "neutral",
            "stage": "first_notice",
            "reason_category": "expired_card",
            "allowed_slots": SLOTS,
            "variables": {"value": "standard", "open_invoices": 1, "failed_attempts": 1},
        }
        return DraftRequest(**{**values, **changes})  # type: ignore[arg-type]  # the test names the fields

    return build
