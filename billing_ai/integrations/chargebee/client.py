"""The Chargebee SDK, with a pooled transport under it.

The SDK builds a TLS context, an HTTP client and a connection for each call, and works out its type hints anew for each answer. Its types,
methods and errors stay; four of its seams are used:

- `chargebee.http_request.request` is the one function through which every operation goes out. It hands over the environment that the
  operation belongs to; where that is ours (`PooledEnvironment`), the request goes through this process's pooled client.
- `chargebee.request.uri_path` joins ids into paths and leaves a slash in an id as it is, so that an id could name another record or operation.
  Ours writes it as %2F.
- `get_type_hints` in the SDK's `model` and `responses` modules is a pure function of a class, so its results are kept.
- `Model.hydrate` turns every object within an answer into one of the SDK's. We read what was sent (`raw_data`), so within `as_sent()` it does not.

Any other use of the SDK in the same process goes the SDK's own way.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import functools
import json
import threading
import typing
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import chargebee.http_request  # type: ignore[import-untyped]  # the SDK ships no py.typed
import chargebee.model  # type: ignore[import-untyped]
import chargebee.request  # type: ignore[import-untyped]
import chargebee.responses  # type: ignore[import-untyped]
import chargebee.util  # type: ignore[import-untyped]
from chargebee import Chargebee
from chargebee.environment import Environment  # type: ignore[import-untyped]
from chargebee.version import VERSION  # type: ignore[import-untyped]
from django.conf import settings

from billing_ai.integrations import http
from billing_ai.integrations.chargebee.errors import UnreadableAnswer
from billing_ai.kernel.errors import Terminal

API_PATH = "/api/v2"
_lock = threading.Lock()
_sites: dict[tuple[str, str, str], Chargebee] = {}


class PooledEnvironment(Environment):  # type: ignore[misc]  # the SDK is untyped
    """The SDK's environment of one site and one key, whose requests go through the pooled client."""

    def __init__(self, api_key: str, site: str, api_url: str) -> None:
        super().__init__({"api_key": api_key, "site": site})
        self.set_api_endpoint()
        if api_url:
            # An address without a path is that of a site; its API is always found below the same one.
            self.api_endpoint = api_url.rstrip("/") + ("" if urlsplit(api_url).path.strip("/") else API_PATH)
        self.request_headers = {
            "User-Agent": f"Chargebee-Python-Client v{VERSION}",
            "Accept": "application/json",
            "Authorization": "Basic " + base64.b64encode(f"{api_key}:".encode()).decode(),
        }


def _send(
    method: str,
    url: str,
    env: Environment,
    params: Any = None,
    headers: dict[str, str] | None = None,
    subDomain: str | None = None,
    isJsonRequest: bool = False,
    options: dict[str, Any] | None = None,
    use_async_client: bool = False,
) -> tuple[Any, Any, int]:
    """The SDK's transport function, with the SDK's signature, answer and errors. Raises httpx's errors and UnreadableAnswer besides."""
    if not isinstance(env, PooledEnvironment):
        return typing.cast(
            "tuple[Any, Any, int]",
            _sdk_request(method, url, env, params, headers, subDomain, isJsonRequest, options or {}, use_async_client),
        )
    verb = method.upper()
    is_query = verb in ("GET", "HEAD", "DELETE")
    answer = http.exchange(
        verb,
        env.api_url(url, subDomain),
        headers={**(headers or {}), **env.request_headers},
        params=_as_documented(params) if is_query and params else None,
        form=None if is_query or isJsonRequest else params,
        json=chargebee.util.convert_to_serializable(params) if isJsonRequest and not is_query else None,
    )
    return _read(answer), answer.headers, answer.status


def _as_documented(params: Mapping[str, Any]) -> dict[str, Any]:
    """Filters over several values in the form that Chargebee documents: `["a","b"]`, and `[1,2]` for a span.

    The SDK writes such a list the way Python prints it (`['a', 'b']`), which is no JSON.
    """
    found = dict(params)
    for name, printed in params.items():
        if name.endswith(("[in]", "[not_in]", "[between]")) and isinstance(printed, str):
            values = ast.literal_eval(printed)
            if name.endswith("[between]"):
                values = [int(value) if value.isdigit() else value for value in values]
            found[name] = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return found


def _read(answer: http.Answer) -> dict[str, Any]:
    """The answer's JSON object. Raises the SDK's APIError for Chargebee's own errors, UnreadableAnswer for anything that is not its JSON."""
    if not answer.body.strip():
        raise UnreadableAnswer(answer, "it is empty")
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        is_page = b"<html" in answer.body[:1000].lower()
        raise UnreadableAnswer(answer, "it is a web page" if is_page else "it is cut off or no JSON") from error
    if not isinstance(content, dict):
        raise UnreadableAnswer(answer, "it is no JSON object")
    if not answer.is_success:
        if "api_error_code" not in content:
            raise UnreadableAnswer(answer, "it is none of Chargebee's errors")
        chargebee.http_request.handle_api_resp_error("", answer.status, content, answer.headers)
    return content


def _path(*parts: object) -> str:
    """The parts of a path, each kept one segment whatever it holds. Raises ValueError on one that would be none."""
    segments = [str(part).strip() for part in parts]
    if any(segment in ("", ".", "..") for segment in segments):
        raise ValueError("an id that cannot stand in a path")
    return "".join(f"/{quote(segment, safe='')}" for segment in segments)


def _hydrate(model: chargebee.model.Model, depth: int = 0) -> None:
    if not getattr(_reads, "as_sent", False):
        _sdk_hydrate(model, depth)


@contextlib.contextmanager
def as_sent() -> Iterator[None]:
    """Answers that this thread gets in the block have their `raw_data` and no attributes, which nothing here reads."""
    _reads.as_sent = True
    try:
        yield
    finally:
        _reads.as_sent = False


_reads = threading.local()
_sdk_hydrate = chargebee.model.Model.hydrate
chargebee.model.Model.hydrate = _hydrate
_sdk_request = chargebee.http_request.request
chargebee.http_request.request = _send
chargebee.request.uri_path = _path
_hints_of = functools.lru_cache(maxsize=None)(typing.get_type_hints)
chargebee.model.get_type_hints = _hints_of
chargebee.responses.get_type_hints = _hints_of


def site(api_key: str) -> Chargebee:
    """The SDK's client for the configured site under one key; one per key for the life of the process. Raises Terminal without a key or site."""
    if not api_key:
        raise Terminal("chargebee.no_key", "No API key for Chargebee is set for this process.")
    if not (settings.CHARGEBEE_SITE or settings.CHARGEBEE_API_URL):
        raise Terminal("chargebee.no_site", "No Chargebee site is set.")
    name = (api_key, settings.CHARGEBEE_SITE, settings.CHARGEBEE_API_URL)
    known = _sites.get(name)
    if known is None:
        with _lock:
            known = _sites.setdefault(name, _new_site(*name))
    return known


def _new_site(api_key: str, site_name: str, api_url: str) -> Chargebee:
    env = PooledEnvironment(api_key, site_name, api_url)
    made = Chargebee(api_key=api_key, site=site_name)
    made.env = env
    for resource in vars(made).values():
        # Each resource object of the SDK keeps its own reference to the environment that it was made with.
        if resource is not env and hasattr(resource, "env"):
            resource.env = env
    return made


def read_site() -> Chargebee:
    """The site under the key that may only read (or under the one key that there is)."""
    return site(settings.CHARGEBEE_READ_API_KEY)


def configurations(seconds: float | None = None) -> http.Answer:
    """The site's answer to the smallest question that every key may ask, as it comes. Raises httpx's errors, and Terminal without a key or site."""
    env = read_site().env
    return http.exchange("GET", f"{env.api_endpoint}/configurations", headers=env.request_headers, seconds=seconds)
