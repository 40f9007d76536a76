"""Clients of the API: who they are and whom they reach. Each change is in the ledger and in the client's history."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from audit import ledger
from audit.actor import Actor
from billing_ai.api.models import ApiClient
from billing_ai.kernel import ids

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
MOST_ENTITIES = 500


class BadClient(ValueError):
    """It cannot be made or changed like that. The message says why."""


def make(
    name: str,
    *,
    title: str = "",
    covers_everyone: bool = False,
    business_entity_ids: Iterable[str] = (),
    actor: Actor,
    user: User | None = None,
) -> ApiClient:
    """A new client. Raises BadClient."""
    if not _NAME.fullmatch(name) or len(name) > 60:
        raise BadClient("a client's name has small letters, digits and single dashes, at most 60 signs")
    entities = _entities(covers_everyone, business_entity_ids)
    client = ApiClient(name=name, title=title.strip()[:120], covers_everyone=covers_everyone, business_entity_ids=entities)
    client._history_user = user  # type: ignore[attr-defined]  # simple-history reads it from the instance
    try:
        with transaction.atomic():
            client.save()
            _note("api.client_made", client, actor, {})
    except IntegrityError as error:
        raise BadClient(f"there is a client named {name} already") from error
    return client


def change(
    client_id: int,
    *,
    title: str,
    covers_everyone: bool,
    business_entity_ids: Iterable[str],
    is_active: bool,
    reason: str,
    actor: Actor,
    user: User | None = None,
) -> ApiClient:
    """Another reach, another title, or off: then its tokens open nothing and its webhooks stop. Its name stays. Raises BadClient."""
    if not reason.strip():
        raise BadClient("say why")
    entities = _entities(covers_everyone, business_entity_ids)
    with transaction.atomic():
        client = ApiClient.objects.select_for_update().get(pk=client_id)
        client.title, client.covers_everyone, client.business_entity_ids = title.strip()[:120], covers_everyone, entities
        client.is_active = is_active
        client._history_user = user  # type: ignore[attr-defined]  # simple-history reads it from the instance
        client._change_reason = reason.strip()[:300]  # type: ignore[attr-defined]
        client.save()
        _note("api.client_changed", client, actor, {"reason": reason.strip()[:300]})
    return client


def _entities(covers_everyone: bool, given: Iterable[str]) -> list[str]:
    entities = sorted({one.strip() for one in given if one.strip()})
    if covers_everyone and entities:
        raise BadClient("a client reaches everyone, or the customers of named business entities, not both")
    if not covers_everyone and not entities:
        raise BadClient("say whom the client reaches: everyone, or the customers of named business entities")
    if len(entities) > MOST_ENTITIES or any(len(one) > 100 for one in entities):
        raise BadClient(f"at most {MOST_ENTITIES} business entities, with ids of at most 100 signs")
    return entities


def _note(kind: str, client: ApiClient, actor: Actor, data: dict[str, object]) -> None:
    reach = {"everyone": client.covers_everyone, "business_entities": client.business_entity_ids, "is_active": client.is_active}
    subject = ("api_client", client.name)
    ledger.append(kind, actor=actor, trace_id=ids.new_trace_id(), subject=subject, data={**reach, **data})
