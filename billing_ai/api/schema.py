"""How the API describes itself: OpenAPI 3.1 with an example for each body, served and checked in as docs/guide/openapi.yaml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeVar

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from billing_ai.api import examples, shapes
from billing_ai.api.calls import CURSOR, FEED_CURSOR, KEY
from billing_ai.api.problems import CONTENT_TYPE

V = TypeVar("V", bound=Callable[..., Any])


def only_ours(endpoints: Sequence[Any], **_: Any) -> list[Any]:
    """The paths of the API and nothing else."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]


def closed_bodies(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A body with a field that is not documented is refused, and the schema says so."""
    for name, component in result["components"]["schemas"].items():
        if name.endswith("Request") and component.get("type") == "object":
            component["additionalProperties"] = False
    return result


class _Bearer(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # spectacular registers its extensions by metaclass
    target_class = "billing_ai.api.access.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A token of `manage.py api_token` or of the console: bai_…"}


_WHY = {
    400: "Not well formed; `errors` name the fields",
    401: "No valid token",
    403: "Not allowed: a scope is missing, or this person's role does not reach",
    404: "Nothing under this id that this token reaches",
    409: "It cannot be done any more",
    412: "It has changed since you read it",
    413: "Too large",
    415: "Not application/json",
    422: "A value is not possible; `errors` name the fields",
    429: "Too many calls; see Retry-After",
}


def documented(
    operation_id: str,
    summary: str,
    *,
    answer: Any,
    ask: Any = None,
    example: str = "",
    paged: bool | Literal["feed"] = False,
    batch: bool = False,
    acts: bool = False,
    conditional: bool = False,
    made: bool = False,
    accepted: bool = False,
    filters: Mapping[str, Sequence[str] | None] | None = None,
) -> Callable[[V], V]:
    """Describe one operation, with its examples and every problem it can answer."""
    is_read = ask is None and answer is not None and not made and not accepted
    good = 201 if made else 202 if accepted else 200
    problems = [400, 401, 403, 404, 429] if is_read else [400, 401, 403, 404, 409, 412, 413, 415, 422, 429]
    responses: dict[Any, Any] = {(number, CONTENT_TYPE): OpenApiResponse(shapes.ProblemOut, _WHY[number]) for number in problems}
    if answer is None:
        responses[204] = OpenApiResponse(description="Done")
    else:
        responses[(good, "application/json")] = answer
    if batch:
        responses[(207, "application/json")] = OpenApiResponse(answer, "Some items were refused; the others are kept")
    if is_read:
        responses[304] = OpenApiResponse(description="Unchanged since the ETag in If-None-Match")
    shown = []
    if example in examples.ANSWERED and answer is not None:
        codes = [str(good)]
        shown.append(OpenApiExample("answer", value=examples.ANSWERED[example], response_only=True, status_codes=codes))
    if ask is not None:
        shown.append(OpenApiExample("body", value=examples.ASKED[example], request_only=True))
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        description=summary + ".",
        request={"application/json": ask} if ask is not None else None,
        responses=responses,
        examples=shown,
        parameters=_parameters(is_read, paged, acts, conditional, ask is not None and not made, filters or {}),
    )


def _parameters(
    is_read: bool, paged: bool | Literal["feed"], acts: bool, conditional: bool, keyed: bool, filters: Mapping[str, Sequence[str] | None]
) -> list[OpenApiParameter]:
    query: Literal["query"] = "query"
    header: Literal["header"] = "header"
    found = [OpenApiParameter(name, str, query, enum=list(choices) if choices else None) for name, choices in filters.items()]
    if paged:
        limit = {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
        found.append(OpenApiParameter("limit", limit, query, description="how many at most"))
        cursor = {"type": "string", "pattern": f"^{FEED_CURSOR if paged == 'feed' else CURSOR}$"}
        found.append(OpenApiParameter("cursor", cursor, query, description="next_cursor of the answer before"))
    if is_read:
        found.append(
            OpenApiParameter("If-None-Match", str, header, description="the ETag of an earlier answer: 304 when nothing has changed")
        )
    elif keyed:
        key = {"type": "string", "pattern": f"^{KEY}$"}
        said = "of your own making, such as a UUID: the same key with the same call does it once"
        found.append(OpenApiParameter("Idempotency-Key", key, header, required=acts, description=said))
    if acts:
        who = {"type": "string", "pattern": "^[A-Za-z0-9@.+_-]{1,150}$"}
        found.append(OpenApiParameter("Acting-User", who, header, required=True, description="user name of the person who decides"))
    if conditional:
        found.append(OpenApiParameter("If-Match", str, header, description="the ETag that you have read: 412 when it has changed since"))
    return found


@lru_cache(maxsize=1)
def as_yaml() -> bytes:
    """The schema of this version, as it is checked in."""
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # spectacular leaves it untyped
    rendered: bytes = OpenApiYamlRenderer().render(schema, renderer_context={})  # type: ignore[no-untyped-call]  # likewise
    return rendered


@require_GET
def serve(request: HttpRequest) -> HttpResponse:
    """The schema, to whoever asks: it tells nothing about any customer."""
    return HttpResponse(as_yaml(), content_type="application/yaml; charset=utf-8")
