"""`manage.py exercise_gateway` against sites that know nothing: whatever they answer, each call is made and has its line, and nothing breaks."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from billing_ai.integrations.chargebee import client
from tests.contracts.conftest import Edge
from tests.contracts.sdk_shapes import check, sent_parameters
from tests.contracts.test_chargebee_calls import ALL_READS, ALL_WRITES, plausible
from tests.contracts.watching import Watched

_pages = itertools.count(1)


def _empty_list(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"list": []})


def _never_ending(request: httpx.Request) -> httpx.Response:
    """Each page names another one after it, and no row has anything but its id."""
    answer = plausible(request)
    body = json.loads(answer.content)
    return httpx.Response(200, json={**body, "next_offset": f"page-{next(_pages)}"} if "list" in body else body)


def _again(request: httpx.Request) -> httpx.Response:
    body = json.loads(plausible(request).content)
    return httpx.Response(200, json={**body, "next_offset": "more"} if "list" in body else body)


def _odd(value: Any) -> Callable[[httpx.Request], httpx.Response]:
    """Every attribute of every resource is that value."""

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(plausible(request).content)
        for row in body.get("list", [body]):
            for name, resource in row.items():
                if isinstance(resource, dict):
                    row[name] = dict.fromkeys([*resource, "status", "currency_code", "subscription_items", "amount_due", "date"], value)
        return httpx.Response(200, json=body)

    return answer


def exercise() -> list[str]:
    """The lines that it prints, whether or not calls were refused."""
    printed = io.StringIO()
    with suppress(CommandError):
        call_command("exercise_gateway", stdout=printed)
    return printed.getvalue().splitlines()


def _refuses(status: int, code: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, json={"message": "m", "type": "invalid_request", "api_error_code": code})


STRANGE: dict[str, Callable[[httpx.Request], httpx.Response]] = {
    "an empty object": lambda request: httpx.Response(200, json={}),
    "empty lists": _empty_list,
    "ids only": plausible,
    "lists without an end": _never_ending,
    "the same page again and again": _again,
    "nulls": _odd(None),
    "numbers": _odd(7),
    "texts": _odd("x"),
    "lists": _odd([1]),
    "objects": _odd({"a": {"b": []}}),
    "everything unknown": _refuses(404, "resource_not_found"),
    "everything refused": _refuses(400, "param_wrong_value"),
    "a web page": lambda request: httpx.Response(200, html="<html>hello</html>"),
    "a text": lambda request: httpx.Response(200, json="ok"),
    "nothing": lambda request: httpx.Response(204),
    "its own faults": lambda request: httpx.Response(500),
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_site_that_answers_with_anything_gets_each_call_and_each_has_its_line(what: str, edge: Edge) -> None:
    edge.answer = STRANGE[what]
    lines = exercise()
    named = {found.group(1) for line in lines if (found := re.match(r" *(?:ok|answered|REFUSED)  (\w+)[ \w]*: ", line))}
    assert named == ALL_READS | ALL_WRITES
    assert re.fullmatch(r"\d+ calls made, \d+ refused\.", lines[-1])


@pytest.mark.parametrize("what", ["ids only", "empty lists", "texts", "numbers"])
def test_what_is_sent_to_a_site_that_knows_nothing_is_legal(what: str, edge: Edge) -> None:
    edge.answer = STRANGE[what]
    with Watched.over(client.site("key-that-reads"), client.site("key-that-writes")) as watched:
        exercise()
    # the one call past the SDK is the look whether the site is there
    requests = [request for request in edge.requests if not request.url.path.endswith("/configurations")]
    operations = [operation for operation in watched.operations if operation[0] != "configuration"]
    assert len(requests) == len(operations) > 60
    wrong = [
        f"{resource}.{operation}: {fault}"
        for (resource, operation), request in zip(operations, requests, strict=True)
        for fault in check(resource, operation, sent_parameters(request))
    ]
    assert wrong == []
    for request in edge.requests:
        is_write = request.method == "POST" and "estimate" not in request.url.path
        assert bool(request.headers.get("chargebee-idempotency-key")) == is_write, request.url.path
        assert len(request.headers.get("chargebee-idempotency-key", "")) <= 100


def test_no_key_is_used_twice(edge: Edge) -> None:
    edge.answer = plausible
    for _ in range(2):
        exercise()
    keys = [key for request in edge.requests if (key := request.headers.get("chargebee-idempotency-key"))]
    assert len(keys) == len(set(keys)) > 40
