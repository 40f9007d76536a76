"""Faults on demand: by request pattern, a number of times, before or after acting."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from billing_ai.simulator.site import Site

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KINDS = ("status", "delay", "drop", "act_then_drop", "cut_body", "html", "empty", "flapping", "clock")
EXEMPT = ("/control", "/mailbox", "/phone", "/pay/", "/clock", "/seen", "/helpdesk", "/crm")


class Faults:
    """Rules such as `{"kind": "status", "method": "POST", "path": "collect_payment", "status": 503, "times": 2}`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._rules: list[dict[str, Any]] = site.store.find("fault")

    def add(self, rule: dict[str, Any]) -> dict[str, Any]:
        if rule.get("kind") not in KINDS:
            raise ValueError(f"kind should be one of {', '.join(KINDS)}")
        re.compile(rule.get("path", ""))
        with self._site.store.writing():
            rule = {"id": f"fault_{self._site.store.next_number('fault')}", "hits": 0, "passed": 0} | rule
            self._site.store.put("fault", rule)
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        with self._site.store.writing():
            for rule in self._rules:
                self._site.store.drop("fault", rule["id"])
        self._rules = []

    def all(self) -> list[dict[str, Any]]:
        return list(self._rules)

    def take(self, method: str, path: str) -> dict[str, Any] | None:
        """The first rule that fits and is not used up; counts the hit."""
        for rule in self._rules:
            if rule.get("method", method).upper() != method or not re.search(rule.get("path", ""), path):
                continue
            if "times" in rule and rule["hits"] >= rule["times"]:
                continue
            rule["passed"] += 1
            if rule["passed"] <= rule.get("skip", 0):
                continue
            if rule["kind"] == "flapping" and rule["passed"] % 2 == 0:
                continue
            rule["hits"] += 1
            return rule
        return None

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._rules or request.path == "/" or request.path.startswith(EXEMPT):
            return await handler(request)
        rule = self.take(request.method, request.path)
        if rule is None:
            return await handler(request)
        return await self._apply(rule, request, handler)

    async def _apply(self, rule: dict[str, Any], request: web.Request, handler: Handler) -> web.StreamResponse:
        kind = rule["kind"]
        if kind == "delay":
            await asyncio.sleep(float(rule.get("seconds", 1)))
            return await handler(request)
        if kind == "drop":
            return _hang_up(request)
        if kind in ("status", "flapping"):
            return _refusal(rule)
        if kind == "html":
            page = "<html><head><title>503 Service Temporarily Unavailable</title></head><body><h1>Sorry</h1></body></html>"
            return web.Response(text=page, status=int(rule.get("status", 503)), content_type="text/html")
        if kind == "empty":
            return web.Response(body=b"", status=int(rule.get("status", 200)), content_type="application/json")
        answer = await handler(request)
        if kind == "act_then_drop":
            return _hang_up(request)
        if kind == "cut_body" and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
            return web.Response(body=answer.body[: len(answer.body) // 2], status=answer.status, content_type="application/json")
        if kind == "clock":
            answer.headers["Date"] = str(rule.get("date", "Thu, 01 Jan 2015 00:00:00 GMT"))
        return answer


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)


def _refusal(rule: dict[str, Any]) -> web.Response:
    status = int(rule.get("status", 503))
    code = rule.get("api_error_code") or {
        429: "api_request_limit_exceeded",
        401: "api_authentication_failed",
        403: "api_authorization_failed",
        404: "resource_not_found",
        409: "invalid_state_for_request",
    }.get(status, "internal_temporary_error" if status >= 500 else "invalid_request")
    body = {
        "message": rule.get("message", f"Fault on demand: {code}"),
        "type": rule.get("type", "operation_failed" if status >= 429 else "invalid_request"),
        "api_error_code": code,
        "error_code": code,
        "http_status_code": status,
    }
    headers = {"Retry-After": str(rule["retry_after"])} if "retry_after" in rule else {}
    return web.json_response(rule.get("body", body), status=status, headers=headers)
