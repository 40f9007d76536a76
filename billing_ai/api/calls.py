"""What every call of the API shares: JSON of bounded size in, problems out, ETags, cursors, and writes that happen once."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.utils.http import parse_etags
from rest_framework.exceptions import MethodNotAllowed, ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit import ledger
from audit.actor import person
from billing_ai.api import problems
from billing_ai.api.access import BearerToken, HasScope, TokenRate, token_of
from billing_ai.api.models import ApiClient, IdempotentCall
from billing_ai.api.problems import Problem
from billing_ai.kernel.ids import new_trace_id

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)
LARGEST_BODY = 1024 * 1024
LARGEST_BODY_WITH_TEXT = 16 * 1024 * 1024
"""Large enough that one text of 10 MB can be refused by its field's name while the rest of its batch is kept."""
_MOST, _USUAL = 200, 50
CURSOR = r"[A-Za-z0-9_-]{1,600}"
FEED_CURSOR = r"[0-9]{1,18}"
KEY = r"[!-~]{1,200}"
_KEY = re.compile(KEY)


class StrictJson(BaseParser):
    """UTF-8 JSON within the view's limit. Keeps the body's hash, which an idempotency key binds to.

    Not DRF's own JSON parser: of that one's kind the whole body is read before the parser is asked, within Django's limit instead of ours.
    """

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        assert parser_context is not None
        limit = parser_context["view"].largest_body
        request = parser_context["request"]
        declared = request.META.get("CONTENT_LENGTH") or "0"
        raw = stream.read(limit + 1) if declared.isdigit() and len(declared) < 18 and int(declared) <= limit else b"x" * (limit + 1)
        if len(raw) > limit:
            raise Problem(413, "too_large", f"A body here is at most {limit} bytes.")
        request.body_sha256 = hashlib.sha256(raw).hexdigest()
        try:
            return json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ParseError("The body is not UTF-8 JSON.") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class OnlyJson(DefaultContentNegotiation):
    """JSON is the only form there is, whatever is asked for."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """A resource of the API. `scopes` names the scope that each method needs; a method without one needs a valid token only."""

    authentication_classes = [BearerToken]
    permission_classes = [HasScope]
    throttle_classes = [TokenRate]
    parser_classes = [StrictJson]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = OnlyJson
    metadata_class = None
    scopes: ClassVar[dict[str, str]] = {}
    parameters: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Query parameters that each method knows."""
    largest_body = LARGEST_BODY

    rate_headers: dict[str, str]

    @property
    def client(self) -> ApiClient:
        """The tenant that calls."""
        return token_of(self.request).client

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.rate_headers = {}
        super().initial(request, *args, **kwargs)
        self.in_the_name_of(AnonymousUser())
        if str(request.method) not in self.allowed_methods:
            raise MethodNotAllowed(str(request.method))
        known = self.parameters.get(str(request.method), ())
        for name, values in request.query_params.lists():
            if name not in known:
                raise bad_parameter(name, "unknown_parameter", "There is no such parameter.")
            if len(values) > 1:
                raise bad_parameter(name, "given_twice", "Give it once.")
        key = request.headers.get("Idempotency-Key")
        if key is not None and not _KEY.fullmatch(key):
            raise Problem(400, "bad_idempotency_key", "An Idempotency-Key has 1 to 200 printable ASCII characters and no space.")

    def in_the_name_of(self, user: User | AnonymousUser) -> None:
        """Whom the history of changed rows names: the person who decides, and nobody where a client writes; a client is no person."""
        self.request._request.user = user

    def check_permissions(self, request: Request) -> None:
        """A call is counted before its scope is looked at, so that trying doors costs as much as going through them."""
        super().check_throttles(request)
        super().check_permissions(request)

    def check_throttles(self, request: Request) -> None:
        """Done above."""

    def handle_exception(self, exc: Exception) -> Response:
        if problems.as_problem(exc) is None:
            logger.exception("api.fault", extra={"path": self.request.path[:200]})
            exc = Problem(500, "fault", "Something went wrong on our side. It is in our log under the trace id.")
        return super().handle_exception(exc)

    def get_exception_handler(self) -> Any:
        return problems.handle

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if request.method == "GET" and response.status_code == 200 and isinstance(response, Response):
            mark = etag_of(response.data)
            if _matches(request.headers.get("If-None-Match", ""), mark):
                response = Response(status=304)
            response["ETag"] = mark
            response["Cache-Control"] = "private, no-cache"
        else:
            response["Cache-Control"] = "no-store"
        for name, value in getattr(self, "rate_headers", {}).items():
            response[name] = value
        return super().finalize_response(request, response, *args, **kwargs)

    def read(self, serializer_class: Any) -> dict[str, Any]:
        """The body in its documented shape. Raises the problem that names the fields."""
        serializer = serializer_class(data=self.request.data)
        if not serializer.is_valid():
            raise problems.from_serializer(serializer.errors)
        found: dict[str, Any] = serializer.validated_data
        return found

    def limit(self) -> int:
        """How many items a page may have."""
        raw = self.request.query_params.get("limit")
        if raw is None:
            return _USUAL
        if not (raw.isascii() and raw.isdigit()) or len(raw) > 4 or not 1 <= int(raw) <= _MOST:
            raise bad_parameter("limit", "invalid", f"A whole number from 1 to {_MOST}.")
        return int(raw)

    def chosen(self, name: str, choices: tuple[str, ...]) -> str:
        """A query parameter out of a closed list; empty when it is absent."""
        raw = self.request.query_params.get(name)
        if raw is not None and raw not in choices:
            raise bad_parameter(name, "invalid_choice", f"One of: {', '.join(choices)}.")
        return raw or ""

    def cursor(self, parts: int) -> list[str]:
        """The position a page starts after, as made by `cursor_text`; empty for the first page."""
        raw = self.request.query_params.get("cursor")
        if raw is None:
            return []
        if not re.fullmatch(CURSOR, raw):
            raise bad_parameter("cursor", "invalid", "Send the next_cursor of an earlier answer, as it was.")
        try:
            found = json.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
        except ValueError as error:
            raise bad_cursor() from error
        if not isinstance(found, list) or len(found) != parts or not all(isinstance(one, str) and "\x00" not in one for one in found):
            raise bad_cursor()
        return found

    def once(self, work: Callable[[], Response], *, key_needed: bool = False, acting: Any = None) -> Response:
        """Do the work in one transaction; with an Idempotency-Key the answer is kept in it, and given again instead of doing it again.

        What was refused keeps nothing: the same key may be sent again. A refusal to a person is noted in the ledger.
        """
        request = self.request
        _ = request.data  # read and hashed before the key is looked at
        key = request.headers.get("Idempotency-Key", "")
        if not key and key_needed:
            raise Problem(400, "idempotency_key_missing", "Send an Idempotency-Key of your own making, such as a UUID, with this call.")
        try:
            with transaction.atomic():
                return self._once(key, work, acting) if key else work()
        except Exception as error:
            problem = problems.as_problem(error)
            if acting is not None and problem is not None:
                self._note_refused(acting, problem)
            raise

    def _once(self, key: str, work: Callable[[], Response], acting: Any) -> Response:
        body = getattr(self.request._request, "body_sha256", "") or getattr(self.request, "body_sha256", "")
        whole = f"{self.request.method} {self.request.path} {acting.pk if acting else ''} {body}"
        fingerprint = hashlib.sha256(whole.encode()).hexdigest()
        call, is_new = IdempotentCall.objects.get_or_create(client=self.client, key=key, defaults={"fingerprint": fingerprint})
        if not is_new:
            if call.fingerprint != fingerprint:
                raise Problem(422, "idempotency_key_reused", "This Idempotency-Key belongs to another call. Use a new one.")
            headers = {**call.answer["headers"], "Idempotent-Replayed": "true"}
            return Response(call.answer["body"], status=call.answer["status"], headers=headers)
        response = work()
        headers = {name: value for name, value in response.items() if name in ("ETag", "Location")}
        body_now = json.loads(JSONRenderer().render(response.data)) if response.data is not None else None
        call.answer = {"status": response.status_code, "body": body_now, "headers": headers}
        call.save(update_fields=["answer"])
        return response

    def _note_refused(self, acting: Any, problem: Problem) -> None:
        with transaction.atomic():
            ledger.append(
                "api.refused",
                actor=person(acting),
                trace_id=new_trace_id(),
                subject=("api_token", str(self.request.auth.pk)),
                data={"path": self.request.path[:200], "code": problem.code},
            )

    def check_if_match(self, mark: str | None) -> None:
        """`If-Match` names what was read (`None`: nothing is there). Raises 412 when it has changed since."""
        wanted, unwanted = self.request.headers.get("If-Match", ""), self.request.headers.get("If-None-Match", "")
        stale = wanted and (mark is None or not _matches(wanted, mark))
        if stale or (unwanted and mark is not None and _matches(unwanted, mark)):
            raise Problem(412, "stale", "It has changed since you read it. Read it again.")


def etag_of(value: Any) -> str:
    """A strong ETag of an answer's data."""
    return f'"{hashlib.sha256(JSONRenderer().render(value)).hexdigest()[:32]}"'


def cursor_text(*parts: object) -> str:
    """An opaque cursor."""
    raw = json.dumps([str(part) for part in parts], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _matches(header: str, mark: str) -> bool:
    given = parse_etags(header)
    return "*" in given or mark in [one.removeprefix("W/") for one in given]


def bad_parameter(name: str, code: str, message: str) -> Problem:
    """A query parameter of another form than the documented one."""
    shown = problems.readable(name, 80)
    return Problem(400, "bad_parameter", f"Look at: {shown}.", errors=[{"field": shown, "code": code, "message": message}])


def bad_cursor() -> Problem:
    """It has the form of a cursor, but no page begins there."""
    error = {"field": "cursor", "code": "unknown", "message": "Send the next_cursor of an earlier answer, as it was."}
    return Problem(404, "no_such_page", "There is no page after this cursor.", errors=[error])
