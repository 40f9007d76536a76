"""HelpdeskReader over Zendesk: what a customer wrote to us about, for whoever has to judge a case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from billing_ai.integrations.ports import Ticket
from billing_ai.integrations.rest import entry, iso_moment
from billing_ai.integrations.zendesk.client import customer_tag, zendesk


class ZendeskReader:
    """Tickets, read."""

    def list_for_customer(self, customer_id: str, *, requester_address: str = "", limit: int = 20) -> Sequence[Ticket]:
        """Tickets that bear the customer's tag or that their address opened, newest first. Raises Retryable or Terminal.

        Without an id only the address counts; without an address that can be asked for, only the id.
        """
        queries = [f"type:ticket tags:{customer_tag(customer_id)}"] if customer_id else []
        if _is_plain_address(requester_address):
            queries.append(f"type:ticket requester:{requester_address}")
        vendor = zendesk()
        found: dict[str, Ticket] = {}
        for query in queries:
            params = {"query": query, "sort_by": "created_at", "sort_order": "desc", "per_page": str(min(limit, 100))}
            reply = vendor.call("GET", "/search.json", has_effect=False, params=params)
            results = entry(reply.content, "results")
            if not isinstance(results, list):
                raise vendor.unreadable(has_effect=False)
            for row in results:
                ticket = _ticket(row)
                if ticket is not None:
                    found.setdefault(ticket.ticket_id, ticket)
        ordered = sorted(found.values(), key=lambda ticket: ticket.created_at.timestamp() if ticket.created_at else 0.0, reverse=True)
        return tuple(ordered[:limit])


def _is_plain_address(address: str) -> bool:
    """Only an address without signs that Zendesk's query language would read as its own."""
    if any(sign in address for sign in " \"':*<>()"):
        return False
    try:
        validate_email(address)
    except ValidationError:
        return False
    return True


def _ticket(row: Any) -> Ticket | None:
    number = entry(row, "id")
    if not isinstance(number, int | str):
        return None
    tags = entry(row, "tags")
    return Ticket(
        ticket_id=str(number),
        subject=str(entry(row, "subject") or ""),
        status=str(entry(row, "status") or ""),
        priority=str(entry(row, "priority") or ""),
        created_at=iso_moment(entry(row, "created_at")),
        updated_at=iso_moment(entry(row, "updated_at")),
        url=f"{settings.ZENDESK_URL.rstrip('/')}/agent/tickets/{number}",
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
    )
