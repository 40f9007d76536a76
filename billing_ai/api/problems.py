"""Errors as application/problem+json (RFC 9457): a stable code, a sentence, and the fields that are wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DataError
from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions, status
from rest_framework.response import Response

from approvals.people import Refused
from billing_ai.kernel.ids import new_trace_id

logger = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"

_TITLES = {
    400: "The request is not well formed",
    401: "No valid token",
    403: "Not allowed",
    404: "Not found",
    405: "This method is not offered here",
    406: "This form of answer is not offered",
    409: "It cannot be done any more",
    410: "Gone",
    412: "It has changed since you read it",
    413: "Too large",
    415: "Send application/json",
    422: "A value is not possible",
    429: "Too many calls",
    500: "A fault of ours",
}
_REFUSED_STATUS = {
    "not_allowed": 403, "user_disabled": 403, "needs_lead": 403, "over_limit": 403, "same_person": 403,
    "no_such_case": 404, "no_such_proposal": 404, "no_such_revision": 404,
    "stale_revision": 412, "stale_facts": 412,
    "unknown_reason": 422, "in_the_past": 422, "promise_date": 422, "promise_amount": 422, "note_needed": 422, "unknown_code": 422,
}  # fmt: skip
"""What a transition's refusal is in HTTP; every other code is 409."""


class Problem(exceptions.APIException):
    """Anything that ends a call early. `errors` name the fields: [{field, code, message}]."""

    def __init__(
        self,
        status_code: int,
        code: str,
        sentence: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence, code)
        self.status_code = status_code
        self.code = code
        self.sentence = sentence
        self.errors = [dict(error) for error in errors]
        self.headers = dict(headers or {})


def not_found() -> Problem:
    """The one answer for what does not exist and for what this token may not know of."""
    return Problem(404, "not_found", "There is nothing under this id that this token reaches.")


def field_errors(detail: Any, prefix: str = "") -> list[dict[str, str]]:
    """A serializer's errors as a flat list: [{field: "events.0.quantity", code, message}]."""
    if isinstance(detail, Mapping):
        found = []
        for name, inner in detail.items():
            path = prefix if name == "non_field_errors" else f"{prefix}.{name}".strip(".")
            found += field_errors(inner, path)
        return found
    if isinstance(detail, list | tuple):
        if detail and all(isinstance(one, Mapping) for one in detail):
            return [error for index, one in enumerate(detail) for error in field_errors(one, f"{prefix}.{index}".strip("."))]
        return [error for one in detail for error in field_errors(one, prefix)]
    return [{"field": readable(prefix, 200), "code": str(getattr(detail, "code", "invalid")), "message": readable(str(detail), 300)}]


def readable(text: str, most: int) -> str:
    """A sender's own words as they may come back in an answer: shortened, and without what cannot be encoded or stored."""
    return text[:most].encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def from_serializer(errors: Any) -> Problem:
    """A body that does not have the documented shape is 400; one that has it, with a value that cannot be, is 422."""
    found = field_errors(errors)
    impossible = bool(found) and all(error["code"].startswith("impossible") for error in found)
    code = "impossible_value" if impossible else "bad_shape"
    names = ", ".join(dict.fromkeys(error["field"] or "the body" for error in found))
    return Problem(422 if impossible else 400, code, f"Look at: {names}.", errors=found)


def body_of(problem: Problem, instance: str, trace_id: str) -> dict[str, Any]:
    """The document."""
    return {
        "type": f"urn:billing-ai:problem:{problem.code}",
        "title": _TITLES.get(problem.status_code, "Refused"),
        "status": problem.status_code,
        "code": problem.code,
        "detail": problem.sentence,
        "instance": instance,
        "trace_id": trace_id,
        "errors": problem.errors,
    }


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler for the API. What nobody foresaw is logged with its trace and answered without a word about the inside."""
    problem = as_problem(error)
    if problem is None:
        return None
    request: HttpRequest = context["request"]
    response = Response(body_of(problem, request.path[:300], new_trace_id()), status=problem.status_code, headers=problem.headers)
    response.content_type = CONTENT_TYPE
    return response


def as_problem(error: Exception) -> Problem | None:
    """An exception as a problem; None for what is a fault of ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Refused):
        return Problem(_REFUSED_STATUS.get(error.code, 409), error.code, error.sentence)
    if isinstance(error, exceptions.ValidationError):
        return from_serializer(error.detail)
    if isinstance(error, Http404):
        return not_found()
    if isinstance(error, PermissionDenied):
        return Problem(403, "not_allowed", "This token may not do this.")
    if isinstance(error, DataError):
        logger.exception("api.not_storable")
        return Problem(422, "impossible_value", "A value in the request cannot be stored.")
    if isinstance(error, exceptions.APIException):
        return _from_drf(error)
    return None


def _from_drf(error: exceptions.APIException) -> Problem:
    headers: dict[str, str] = {}
    wait = getattr(error, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(max(1, int(wait)))
    if getattr(error, "auth_header", ""):
        headers["WWW-Authenticate"] = str(error.auth_header)  # type: ignore[attr-defined]  # DRF sets it on the instance
    code = {400: "bad_json", 401: "no_valid_token", 403: "not_allowed", 405: "no_such_method", 415: "not_json", 429: "too_many_calls"}
    number = error.status_code
    return Problem(number, code.get(number, str(error.default_code)), str(error.detail), headers=headers)


@csrf_exempt
def plain_not_found(request: HttpRequest, **_: Any) -> JsonResponse:
    """An address of the API that does not exist."""
    document = body_of(Problem(404, "not_found", "There is nothing at this address."), request.path[:300], new_trace_id())
    return JsonResponse(document, status=status.HTTP_404_NOT_FOUND, content_type=CONTENT_TYPE)
