"""What other systems may send: usage, tickets, notes, replies, CRM ownership and consent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from approvals.models import Consent
from approvals.policy import consent
from billing_ai.api import arrivals, asks, reach, shapes
from billing_ai.api.calls import LARGEST_BODY_WITH_TEXT, ApiView, etag_of
from billing_ai.api.models import ApiClient
from billing_ai.api.problems import Problem, not_found
from billing_ai.api.schema import documented
from billing_ai.kernel import clock
from billing_ai.signals.models import CrmLink as Link
from billing_ai.signals.models import ReplyNote


class BatchView(ApiView):
    """One batch in, one answer an item. A class of its own gives the name and the words of its operation, what comes in and who stores it."""

    batch: ClassVar[type[asks.Batch]]
    field: ClassVar[str]
    store: ClassVar[Callable[[ApiClient, list[arrivals.Item]], object]]

    def __init_subclass__(cls, *, operation: str, summary: str, example: str) -> None:
        super().__init_subclass__()

        # One function a class: what is documented is kept on the function.
        @documented(operation, summary, ask=cls.batch, answer=shapes.BatchOut, batch=True, example=example)
        def post(self: BatchView, request: Request) -> Response:
            return self.take(request)

        cls.post = post  # type: ignore[attr-defined]  # REST framework finds a method by its name

    def take(self, request: Request) -> Response:
        """The whole of it, once per Idempotency-Key."""

        def work() -> Response:
            items = arrivals.read(self.batch, self.field, request.data)
            type(self).store(self.client, items)
            said, status = arrivals.answer(items)
            return Response(shapes.BatchOut(said).data, status=status)

        return self.once(work)


class UsageEvents(
    BatchView, operation="send_usage_events", summary="Send usage events, each stored once under your own id", example="usage"
):
    """Usage events."""

    scopes: ClassVar = {"POST": "usage:write"}
    batch, field, store = asks.UsageBatch, "events", arrivals.take_usage


class Tickets(BatchView, operation="send_tickets", summary="Send tickets of a help desk without an adapter", example="tickets"):
    """Tickets."""

    scopes: ClassVar = {"POST": "tickets:write"}
    batch, field, store = asks.TicketBatch, "tickets", arrivals.take_tickets
    largest_body = LARGEST_BODY_WITH_TEXT


class Notes(BatchView, operation="send_notes", summary="Send what colleagues wrote down in the CRM", example="notes"):
    """Notes."""

    scopes: ClassVar = {"POST": "notes:write"}
    batch, field, store = asks.NoteBatch, "notes", partial(arrivals.take_notes, kind=ReplyNote.NOTE)
    largest_body = LARGEST_BODY_WITH_TEXT


class Replies(BatchView, operation="send_replies", summary="Send what customers answered", example="replies"):
    """Replies."""

    scopes: ClassVar = {"POST": "notes:write"}
    batch, field, store = asks.ReplyBatch, "replies", partial(arrivals.take_notes, kind=ReplyNote.REPLY)
    largest_body = LARGEST_BODY_WITH_TEXT


class CrmLinks(BatchView, operation="send_crm_links", summary="Say who owns which customers in your CRM, and their tiers", example="links"):
    """CRM ownership and tier, many at once."""

    scopes: ClassVar = {"POST": "crm:write"}
    batch, field, store = asks.CrmLinkBatch, "links", arrivals.take_links


class CrmLink(ApiView):
    """One customer in one CRM."""

    scopes: ClassVar = {"GET": "customers:read", "PUT": "crm:write"}

    @documented("get_crm_link", "Who owns a customer in a CRM", answer=shapes.CrmLinkOut, example="link")
    def get(self, request: Request, customer_id: str, system: str) -> Response:
        found = self._link(reach.customer(self.client, customer_id).pk, system)
        if found is None:
            raise not_found()
        return Response(shapes.CrmLinkOut(found).data)

    @documented(
        "put_crm_link", "Say who owns a customer in a CRM; If-Match keeps you from overwriting what you have not seen",
        ask=asks.CrmLinkIn, answer=shapes.CrmLinkOut, example="link", conditional=True,
    )  # fmt: skip
    def put(self, request: Request, customer_id: str, system: str) -> Response:
        values = self.read(asks.CrmLinkIn)

        def work() -> Response:
            row = reach.customer(self.client, customer_id)
            # The customer's own row is what two writers of its first link queue at.
            reach.customers(self.client).select_for_update().get(pk=row.pk)
            before = self._link(row.pk, system)
            self.check_if_match(etag_of(shapes.CrmLinkOut(before).data) if before else None)
            if not arrivals.set_link(self.client, row.pk, system, values):
                errors = [{"field": "crm_id", "code": "taken", "message": "This CRM id belongs to another customer."}]
                raise Problem(409, "taken", "This CRM id belongs to another customer.", errors=errors)
            said = shapes.CrmLinkOut(self._link(row.pk, system)).data
            return Response(said, headers={"ETag": etag_of(said)})

        return self.once(work)

    def _link(self, customer_id: str, system: str) -> Link | None:
        if system not in asks.CRM_SYSTEMS:
            raise not_found()
        return Link.objects.filter(client=self.client.name, system=system, chargebee_customer_id=customer_id).first()


class CustomerConsent(ApiView):
    """What a customer allows."""

    scopes: ClassVar = {"POST": "consent:write"}

    @documented(
        "record_consent",
        "Say what a customer allows on one channel; it counts at once",
        ask=asks.ConsentIn,
        answer=shapes.ConsentOut,
        example="consent",
    )
    def post(self, request: Request, customer_id: str) -> Response:
        values = self.read(asks.ConsentIn)

        def work() -> Response:
            row = reach.customer(self.client, customer_id)
            said_at = min(values.get("said_at") or clock.now(), clock.now())
            kept = consent.record(row.pk, values["channel"], granted=values["granted"], source="api", at=said_at)
            known: dict[str, Any] = {"customer_id": row.pk, "channel": kept.channel, "granted": kept.state == Consent.GRANTED}
            return Response(shapes.ConsentOut({**known, "source": kept.source, "recorded_at": kept.recorded_at}).data)

        return self.once(work)
