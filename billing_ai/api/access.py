"""Who calls, what the token allows, and how often: authentication, scopes and the shared rate limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import connection
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.permissions import BasePermission
from rest_framework.throttling import BaseThrottle

from approvals.people import Refused
from billing_ai.api import tokens
from billing_ai.api.models import ApiClient, ApiToken
from billing_ai.api.problems import Problem
from billing_ai.kernel import clock

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from rest_framework.request import Request

_COUNT = (
    "INSERT INTO api_rateuse (token_id, minute, used) VALUES (%s, %s, 1) ON CONFLICT (token_id) DO UPDATE SET "
    "used = CASE WHEN api_rateuse.minute = excluded.minute THEN api_rateuse.used + 1 ELSE 1 END, minute = excluded.minute RETURNING used"
)


@dataclass(frozen=True, slots=True)
class Caller:
    """The client behind a token: what DRF calls the user. It is no person and has no permission of its own."""

    client: ApiClient
    token: ApiToken

    is_authenticated: bool = True
    is_active: bool = True

    @property
    def pk(self) -> str:
        """The token's id."""
        return str(self.token.pk)


def token_of(request: Request) -> ApiToken:
    """The token of a request that got past `BearerToken`, which is the only way in."""
    token: ApiToken = request.auth  # type: ignore[assignment]  # DRF's stubs know its own token model only
    return token


class BearerToken(BaseAuthentication):
    """`Authorization: Bearer bai_…`."""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise AuthenticationFailed("Send a token: Authorization: Bearer bai_…")
        token = tokens.find(secret.strip())
        if token is None:
            raise AuthenticationFailed("This token is unknown, expired or revoked.")
        return Caller(token.client, token), token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class HasScope(BasePermission):
    """The scope that the view names for this method."""

    def has_permission(self, request: Request, view: Any) -> bool:
        needed = view.scopes.get(request.method)
        # A method that the view does not offer is answered 405 afterwards, whatever the token may do.
        if needed in (None, "") or needed in token_of(request).scopes:
            return True
        raise Problem(403, "scope_missing", f"This token does not have the scope {needed}.")


class TokenRate(BaseThrottle):
    """So many calls a minute and token, counted in the database, which all processes share."""

    def allow_request(self, request: Request, view: Any) -> bool:
        token = token_of(request)
        seconds = clock.now().timestamp()
        minute = int(seconds // 60)
        with connection.cursor() as cursor:
            cursor.execute(_COUNT, [token.pk.hex if connection.vendor == "sqlite" else token.pk, minute])
            used = int(cursor.fetchone()[0])
        left = max(1, 60 - int(seconds % 60))
        view.rate_headers = {
            "RateLimit-Limit": str(token.rate_per_minute),
            "RateLimit-Remaining": str(max(0, token.rate_per_minute - used)),
        }
        if used > token.rate_per_minute:
            raise Throttled(wait=left, detail=f"At most {token.rate_per_minute} calls a minute; come back in {left} s.")
        return True


def acting_user(request: Request) -> User:
    """The person in whose name the call decides, from the header Acting-User. Raises Problem unless the token may act as them."""
    name = request.headers.get("Acting-User", "").strip()
    if not name:
        raise Problem(400, "acting_user_missing", "Name the person who decides: Acting-User: <user name>.")
    user = get_user_model().objects.filter(username=name[:150]).first() if "\x00" not in name else None
    if user is None or not token_of(request).may_act_as.filter(pk=user.pk).exists():
        raise Problem(403, "acting_user_not_allowed", "This token may not decide in the name of that person.")
    if not user.is_active:
        raise Refused("user_disabled", "This account is disabled.")
    return user
