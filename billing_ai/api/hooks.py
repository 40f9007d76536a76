"""Where webhooks go: endpoints, what was delivered to them, and replay."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from rest_framework.request import Request
from rest_framework.response import Response

from audit.actor import Actor
from billing_ai.api import answers, asks, changes, shapes, webhooks
from billing_ai.api.access import token_of
from billing_ai.api.calls import ApiView, bad_cursor, cursor_text
from billing_ai.api.models import WebhookDelivery, WebhookEndpoint
from billing_ai.api.problems import Problem, not_found
from billing_ai.api.schema import documented

MOST_ENDPOINTS = 20


class HookView(ApiView):
    """What all of them share."""

    @property
    def actor(self) -> Actor:
        """The token, in the ledger's words."""
        return Actor("system", f"api_token:{token_of(self.request).pk}", f"{self.client.name}: {token_of(self.request).label}"[:200])

    def endpoint(self, endpoint_id: UUID) -> WebhookEndpoint:
        """One of this client's endpoints. Raises the not-found problem."""
        found = WebhookEndpoint.objects.filter(client=self.client, pk=endpoint_id).select_related("client").first()
        if found is None:
            raise not_found()
        return found


class Endpoints(HookView):
    """The client's endpoints."""

    scopes: ClassVar = {"GET": "webhooks:manage", "POST": "webhooks:manage"}

    @documented("list_webhook_endpoints", "Where your webhooks go", answer=shapes.WebhookEndpointList, example="endpoints")
    def get(self, request: Request) -> Response:
        rows = WebhookEndpoint.objects.filter(client=self.client).order_by("created_at", "pk")
        return Response(shapes.WebhookEndpointList({"items": list(rows)}).data)

    @documented(
        "create_webhook_endpoint", "Be called when something changes. The secret is shown this once", ask=asks.WebhookEndpointIn,
        answer=shapes.WebhookEndpointMade, example="endpoint", made=True,
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        said = self.read(asks.WebhookEndpointIn)
        if request.headers.get("Idempotency-Key"):
            # Its answer would have to be kept, and with it the secret.
            raise Problem(400, "no_idempotency_here", "This call takes no Idempotency-Key: the secret in its answer is kept nowhere.")
        if WebhookEndpoint.objects.filter(client=self.client, is_active=True).count() >= MOST_ENDPOINTS:
            raise Problem(409, "too_many_endpoints", f"A client has at most {MOST_ENDPOINTS} endpoints. Remove one first.")
        try:
            made, secret = webhooks.make_endpoint(self.client, said["url"], said["kinds"], self.actor)
        except webhooks.BadAddress as error:
            errors = [{"field": "url", "code": "impossible_url", "message": str(error)}]
            raise Problem(422, "impossible_value", "Look at: url.", errors=errors) from error
        said_now = shapes.WebhookEndpointMade({**_of(made), "secret": secret}).data
        return Response(said_now, status=201, headers={"Location": f"{request.path}/{made.pk}"})


class Endpoint(HookView):
    """One endpoint."""

    scopes: ClassVar = {"GET": "webhooks:manage", "DELETE": "webhooks:manage"}

    @documented("get_webhook_endpoint", "One endpoint", answer=shapes.WebhookEndpointOut, example="endpoint_out")
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        return Response(shapes.WebhookEndpointOut(self.endpoint(endpoint_id)).data)

    @documented("stop_webhook_endpoint", "Do not call it any more; what waits for it is dropped", answer=None)
    def delete(self, request: Request, endpoint_id: UUID) -> Response:
        webhooks.stop_endpoint(self.endpoint(endpoint_id), self.actor, "stopped through the API")
        return Response(status=204)


class RotateSecret(HookView):
    """A new secret."""

    scopes: ClassVar = {"POST": "webhooks:manage"}

    @documented(
        "rotate_webhook_secret",
        "A new signing secret; for 24 hours the old one signs as well",
        answer=shapes.SecretOut,
        example="secret",
        made=True,
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        endpoint = _active(self.endpoint(endpoint_id))
        secret = webhooks.rotate_secret(endpoint, self.actor)
        return Response(shapes.SecretOut({"secret": secret, "old_until": endpoint.previous_secret_until}).data, status=201)


class Ping(HookView):
    """A try."""

    scopes: ClassVar = {"POST": "webhooks:manage"}

    @documented(
        "ping_webhook_endpoint",
        "Have a webhook of kind ping sent now, to see that it arrives",
        answer=shapes.ReplayOut,
        example="replay",
        accepted=True,
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        endpoint = _active(self.endpoint(endpoint_id))
        with transaction.atomic():
            payload = {"endpoint_id": str(endpoint.pk)}
            changes.record(changes.PING, "", ("webhook_endpoint", str(endpoint.pk)), payload, only_for=self.client)
        return Response(shapes.ReplayOut({"replayed": 1}).data, status=202)


class Deliveries(HookView):
    """What was sent to one endpoint."""

    scopes: ClassVar = {"GET": "webhooks:manage"}
    parameters: ClassVar = {"GET": ("limit", "cursor")}

    @documented(
        "list_webhook_deliveries",
        "What was delivered to an endpoint, newest first",
        answer=shapes.DeliveryPage,
        example="deliveries",
        paged=True,
    )
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        rows = WebhookDelivery.objects.filter(endpoint=self.endpoint(endpoint_id)).select_related("change").order_by("-made_at", "-pk")
        if after := self.cursor(2):
            rows = rows.filter(_earlier(after))
        limit = self.limit()
        found = list(rows[: limit + 1])
        page = found[:limit]
        next_cursor = cursor_text(page[-1].made_at.isoformat(), page[-1].pk) if len(found) > limit else None
        return Response(shapes.DeliveryPage({"items": [answers.delivery(row) for row in page], "next_cursor": next_cursor}).data)


class Replay(HookView):
    """Send again."""

    scopes: ClassVar = {"POST": "webhooks:manage"}

    @documented(
        "replay_webhooks",
        "Send again what changed since a moment (at most 1,000 deliveries)",
        ask=asks.ReplayIn,
        answer=shapes.ReplayOut,
        example="replay",
        accepted=True,
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        said = self.read(asks.ReplayIn)

        def work() -> Response:
            count = webhooks.replay(_active(self.endpoint(endpoint_id)), self.actor, since=said["since"])
            return Response(shapes.ReplayOut({"replayed": count}).data, status=202)

        return self.once(work)


class ReplayOne(HookView):
    """Send one again."""

    scopes: ClassVar = {"POST": "webhooks:manage"}

    @documented("replay_webhook", "Send one delivery again", answer=shapes.ReplayOut, example="replay", accepted=True)
    def post(self, request: Request, endpoint_id: UUID, delivery_id: UUID) -> Response:
        if not webhooks.replay(_active(self.endpoint(endpoint_id)), self.actor, delivery_id=delivery_id):
            raise not_found()
        return Response(shapes.ReplayOut({"replayed": 1}).data, status=202)


def _active(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    if not endpoint.is_active:
        raise Problem(409, "endpoint_stopped", "This endpoint is not called any more. Make a new one.")
    return endpoint


def _of(endpoint: WebhookEndpoint) -> dict[str, Any]:
    names = ("id", "url", "kinds", "is_active", "stopped_reason", "created_at")
    return {name: getattr(endpoint, name) for name in names}


def _earlier(after: list[str]) -> Q:
    try:
        moment, pk = datetime.fromisoformat(after[0]), UUID(after[1])
    except ValueError as error:
        raise bad_cursor() from error
    if moment.tzinfo is None:
        raise bad_cursor()
    return Q(made_at__lt=moment) | Q(made_at=moment, pk__lt=pk)
