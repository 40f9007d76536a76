"""The door of `/api/v2`: who calls, what is asked, has it been asked before; then the resource's own module."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
from collections import deque
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from billing_ai.simulator import seen
from billing_ai.simulator.api.registry import HANDLERS
from billing_ai.simulator.billing import Declined
from billing_ai.simulator.checks import RequestCheck
from billing_ai.simulator.errors import ApiError, wrong_value
from billing_ai.simulator.sdk_types import Operation, Routes, SdkSource
from billing_ai.simulator.site import Site

IDEMPOTENCY_HEADER = "chargebee-idempotency-key"
REPLAYED_HEADER = "chargebee-idempotency-replayed"
REPLAY_SECONDS = 30 * 60
LONGEST_KEY = 100
# Product Catalog 1.0: they exist in the SDK, and fail on a site with items.
_OLD_CATALOGUE = frozenset(
    [
        "subscription.create",
        "subscription.create_for_customer",
        "subscription.update",
        "subscription.cancel",
        "subscription.import_subscription",
        "subscription.import_for_customer",
        "estimate.create_subscription",
        "estimate.create_sub_for_customer_estimate",
        "estimate.update_subscription",
        "estimate.cancel_subscription",
        "hosted_page.checkout_new",
        "hosted_page.checkout_existing",
        "hosted_page.checkout_one_time",
        "invoice.create",
        "invoice.charge_addon",
        "invoice.add_addon_charge",
    ]
)


class ApiDoor:
    """Answers every request below `/api/v2`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        source = SdkSource()
        self._routes = Routes(source.operations())
        self._check = RequestCheck(source)
        self._calls: dict[str, deque[float]] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            return self._answer(request, body)
        except ApiError as error:
            return web.json_response(error.body, status=error.status, headers=error.headers)

    def _answer(self, request: web.Request, body: bytes) -> web.Response:
        key = self._authenticate(request)
        self._count(key)
        parts = [unquote(part) for part in request.raw_path.partition("?")[0].split("/")[3:] if part]
        found = self._routes.match(request.method, parts)
        if found is None:
            if self._routes.known_path(parts):
                raise ApiError(405, "http_method_not_supported", f"{request.method} is not supported for this URL")
            raise ApiError(404, "resource_not_found", f"Sorry, there is no resource at {request.path}")
        operation, ids = found
        if operation.method != "GET" and key in self._site.options.read_only_keys and not _reads_only(operation):
            raise ApiError(
                403, "api_authorization_failed", "Sorry, the API key is read-only: it does not have the scope to write.", kind=None
            )
        if operation.key in _OLD_CATALOGUE:
            raise ApiError(
                400, "configuration_incompatible", "This operation belongs to Product Catalog 1.0; this site uses Product Catalog 2.0"
            )
        handler = HANDLERS.get(operation.key)
        if handler is None:
            raise ApiError(501, "not_simulated", f"The simulator does not answer {operation.key}", kind="operation_failed")
        if operation.method == "GET":
            pairs = parse_qsl(request.query_string, keep_blank_values=True)
            return web.json_response(handler(self._site, ids, self._check.read(operation, pairs)))
        return self._write(request, operation, ids, body, key)

    def _write(self, request: web.Request, operation: Operation, ids: list[str], body: bytes, key: str) -> web.Response:
        site = self._site
        idempotency_key = request.headers.get(IDEMPOTENCY_HEADER, "")
        if len(idempotency_key) > LONGEST_KEY:
            raise wrong_value(IDEMPOTENCY_HEADER, f"is too long (maximum is {LONGEST_KEY} characters)")
        if operation.resource == "estimate":
            idempotency_key = ""
        fingerprint = hashlib.sha256(request.path.encode() + b"\n" + body).hexdigest()
        if idempotency_key:
            replay = self._replay(f"{key}:{idempotency_key}", fingerprint)
            if replay is not None:
                return replay
        params = self._params(operation, body)
        status, answer = 200, {}
        try:
            with site.store.writing():
                site.source = "api"
                try:
                    answer = HANDLERS[operation.key](site, ids, params)
                except Declined as declined:  # the failed attempt stays on record
                    status, answer = declined.status, declined.body
                self._remember(operation, ids, params, status, f"{key}:{idempotency_key}" if idempotency_key else "", fingerprint, answer)
        except ApiError as error:
            with site.store.writing():
                self._remember(
                    operation, ids, params, error.status, f"{key}:{idempotency_key}" if idempotency_key else "", fingerprint, error.body
                )
            raise
        return web.json_response(answer, status=status)

    def _params(self, operation: Operation, body: bytes) -> dict[str, Any]:
        if operation.is_json:
            try:
                found = json.loads(body or b"{}")
            except ValueError:
                raise ApiError(400, "invalid_request", "The body is not valid JSON") from None
            return self._check.read_json(operation, found)
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            raise ApiError(400, "invalid_request", "The body is not valid UTF-8") from None
        return self._check.read(operation, parse_qsl(text, keep_blank_values=True))

    def _remember(
        self, operation: Operation, ids: list[str], params: dict[str, Any], status: int, key: str, fingerprint: str, answer: dict[str, Any]
    ) -> None:
        site = self._site
        if not _reads_only(operation):
            seen.note(site, "api", operation.key, "/".join(ids), params, status)
        if key:
            site.store.execute(
                "INSERT OR REPLACE INTO idempotency VALUES (?,?,?,?,?,?)",
                (key, fingerprint, status, json.dumps(answer), time.time(), site.now()),
            )

    def _replay(self, key: str, fingerprint: str) -> web.Response | None:
        rows = self._site.store.rows("SELECT fingerprint, status, body, sim_at FROM idempotency WHERE key = ?", (key,))
        if not rows or self._site.now() - rows[0][3] > REPLAY_SECONDS:
            return None
        if rows[0][0] != fingerprint:
            raise ApiError(422, "idempotency_key_reused", "The idempotency key was used before with other parameters")
        return web.Response(body=rows[0][2].encode(), status=rows[0][1], content_type="application/json", headers={REPLAYED_HEADER: "true"})

    def _authenticate(self, request: web.Request) -> str:
        header = request.headers.get("Authorization", "")
        key = ""
        if header.startswith("Basic "):
            try:
                key = base64.b64decode(header[6:], validate=True).decode("latin1").partition(":")[0]
            except binascii.Error:
                key = ""
        if key not in self._site.options.api_keys and key not in self._site.options.read_only_keys:
            raise ApiError(401, "api_authentication_failed", "Sorry, authentication failed. Invalid API key.", kind=None)
        return key

    def _count(self, key: str) -> None:
        limit = int(self._site.store.setting("rate_limit", self._site.options.rate_limit))
        if limit <= 0:
            return
        calls = self._calls.setdefault(key, deque())
        now = time.monotonic()
        while calls and calls[0] <= now - 60:
            calls.popleft()
        if len(calls) >= limit:
            wait = max(1, int(calls[0] + 60 - now) + 1)
            raise ApiError(
                429,
                "api_request_limit_exceeded",
                f"The site's limit of {limit} requests a minute is reached",
                kind="operation_failed",
                headers={"Retry-After": str(wait)},
            )
        calls.append(now)


def _reads_only(operation: Operation) -> bool:
    return operation.method == "GET" or operation.resource == "estimate" or operation.key == "invoice.pdf"
