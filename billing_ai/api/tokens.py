"""Tokens: made, shown once, stored hashed, replaced, revoked. Each step is in the ledger."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from audit import ledger
from audit.actor import Actor
from billing_ai.api.models import ApiClient, ApiToken, RateUse
from billing_ai.kernel import clock, ids

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SCOPES: dict[str, str] = {
    "customers:read": "customers with scores, reasons, trend, open cases and next action",
    "cases:read": "cases and proposals with status and outcome",
    "words:read": "the text of proposed messages, with slots in place of facts",
    "changes:read": "the change feed",
    "usage:write": "send usage events",
    "tickets:write": "send tickets",
    "notes:write": "send notes and replies",
    "crm:write": "say who owns a customer and which tier it has",
    "consent:write": "say what a customer allows",
    "act": "approve, reject, snooze and note promises, in the name of a person",
    "webhooks:manage": "say where webhooks go, and replay them",
}
LONGEST_LIFE = timedelta(days=366)
OVERLAP = timedelta(hours=24)
"""How long a replaced token still works, so that nothing stops while the new one is put in place."""
_PREFIX = "bai_"


class BadToken(ValueError):
    """It cannot be made like that. The message says why."""


def make(
    client: ApiClient,
    *,
    label: str,
    scopes: Iterable[str],
    lives: timedelta,
    actor: Actor,
    created_by: User | None = None,
    rate_per_minute: int = 300,
    may_act_as: Iterable[User] = (),
) -> tuple[ApiToken, str]:
    """A new token, and its secret, which nobody can read again. Raises BadToken."""
    if not client.is_active:
        raise BadToken(f"the client {client.name} is switched off")
    wanted, people = sorted(set(scopes)), list(may_act_as)
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise BadToken(
            f"unknown scope {', '.join(unknown)}; there are: {', '.join(SCOPES)}" if unknown else "a token needs at least one scope"
        )
    if not timedelta(0) < lives <= LONGEST_LIFE:
        raise BadToken(f"a token lives for at most {LONGEST_LIFE.days} days")
    if "act" in wanted and not people:
        raise BadToken("the scope act needs at least one person in whose name the token may decide")
    if not 1 <= rate_per_minute <= 100_000:
        raise BadToken("between 1 and 100000 calls a minute")
    secret = _PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        token = ApiToken(
            client=client,
            label=label.strip()[:120] or client.name,
            hint=secret[:10],
            token_hash=hash_of(secret),
            scopes=wanted,
            rate_per_minute=rate_per_minute,
            expires_at=clock.now() + lives,
            created_by=created_by,
        )
        _save(token, created_by, "made")
        token.may_act_as.set(people)
        _note(
            "api.token_made", token, actor, {"scopes": wanted, "expires_at": token.expires_at.isoformat(), "people": [p.pk for p in people]}
        )
    return token, secret


def rotate(token_id: UUID | str, actor: Actor, created_by: User | None = None) -> tuple[ApiToken, str]:
    """A new token like this one; the old one works for 24 hours more. Raises BadToken when it is revoked, expired or replaced already."""
    with transaction.atomic():
        old = ApiToken.objects.select_for_update(of=("self",)).select_related("client").get(pk=token_id)
        now = clock.now()
        if old.revoked_at is not None or old.expires_at <= now or old.replaced_by_id is not None:
            raise BadToken("this token is revoked, expired or replaced already; make a new one")
        new, secret = make(
            old.client,
            label=old.label,
            scopes=old.scopes,
            lives=old.expires_at - old.created_at,
            actor=actor,
            created_by=created_by,
            rate_per_minute=old.rate_per_minute,
            may_act_as=old.may_act_as.all(),
        )
        old.replaced_by, old.expires_at = new, min(old.expires_at, now + OVERLAP)
        _save(old, created_by, "rotated")
        _note("api.token_rotated", old, actor, {"new": str(new.pk)})
    return new, secret


def revoke(token_id: UUID | str, actor: Actor, user: User | None = None) -> bool:
    """End a token at once. False when it was revoked before."""
    with transaction.atomic():
        token = ApiToken.objects.select_for_update(of=("self",)).select_related("client").get(pk=token_id)
        if token.revoked_at is not None:
            return False
        token.revoked_at = clock.now()
        _save(token, user, "revoked")
        _note("api.token_revoked", token, actor, {})
    return True


def state_of(token: ApiToken) -> str:
    """live, replaced (and still live for a while), expired or revoked."""
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at <= clock.now():
        return "expired"
    return "replaced" if token.replaced_by_id is not None else "live"


def last_used(token: ApiToken) -> datetime | None:
    """The minute of its last call, or None when it was never used."""
    use = RateUse.objects.filter(token=token).first()
    return datetime.fromtimestamp(use.minute * 60, UTC) if use else None


def find(secret: str) -> ApiToken | None:
    """The live token with this secret; None when there is none, or it is expired, revoked, or its client is switched off."""
    if not secret.startswith(_PREFIX) or len(secret) > 100:
        return None
    return (
        ApiToken.objects.select_related("client")
        .filter(Q(token_hash=hash_of(secret)), revoked_at__isnull=True, expires_at__gt=clock.now(), client__is_active=True)
        .first()
    )


def hash_of(secret: str) -> str:
    """SHA-256: the secret has 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _save(token: ApiToken, user: User | None, why: str) -> None:
    token._history_user = user  # type: ignore[attr-defined]  # simple-history reads it from the instance
    token._change_reason = why  # type: ignore[attr-defined]
    token.save()


def _note(kind: str, token: ApiToken, actor: Actor, data: dict[str, object]) -> None:
    subject = ("api_token", str(token.pk))
    ledger.append(
        kind, actor=actor, trace_id=ids.new_trace_id(), subject=subject, data={"client": token.client.name, "hint": token.hint, **data}
    )
