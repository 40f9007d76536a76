"""HelpdeskPort over Zendesk: the key is the ticket's `external_id`, so the ticket that a key opened can always be found."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from billing_ai.integrations.ports import Absent, Found, LookUp, NewTicket, SentReceipt
from billing_ai.integrations.rest import RestVendor, entry, iso_moment
from billing_ai.integrations.zendesk.client import customer_tag, zendesk
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal

PRIORITIES = ("low", "normal", "high", "urgent")
LONGEST_SUBJECT = 150


class ZendeskHelpdesk:
    """Tickets and comments, written."""

    def create_ticket(self, ticket: NewTicket, *, key: str) -> SentReceipt:
        """Open a ticket; `reference` is its number. Raises Retryable, Terminal, Unknown."""
        if ticket.priority not in PRIORITIES:
            raise Terminal("zendesk.bad_priority", f"“{ticket.priority[:20]}” is no priority of the help desk. Nothing was sent.")
        body: dict[str, Any] = {
            "subject": ticket.subject[:LONGEST_SUBJECT],
            "comment": {"body": ticket.body, "public": ticket.customer_may_see},
            "external_id": key,
            "priority": ticket.priority,
            "tags": [customer_tag(ticket.customer_id), *ticket.tags],
        }
        if ticket.requester_address:
            body["requester"] = {"name": ticket.requester_name or ticket.requester_address, "email": ticket.requester_address}
        vendor = zendesk()
        reply = vendor.call("POST", "/tickets.json", has_effect=True, json={"ticket": body}, headers={"Idempotency-Key": key})
        return _receipt(
            vendor, entry(reply.content, "ticket"), has_effect=True, replayed=reply.headers.get("x-idempotency-lookup", "") == "hit"
        )

    def look_up(self, key: str) -> LookUp:
        """The ticket that this key opened. Raises Retryable or Terminal."""
        vendor = zendesk()
        reply = vendor.call("GET", "/tickets.json", has_effect=False, params={"external_id": key})
        tickets = entry(reply.content, "tickets")
        if not isinstance(tickets, list):
            raise vendor.unreadable(has_effect=False)
        for ticket in tickets:
            if entry(ticket, "external_id") == key:
                return Found(_receipt(vendor, ticket, has_effect=False, replayed=True))
        return Absent()

    def add_comment(self, ticket_id: str, body: str, *, key: str, customer_may_see: bool = False) -> SentReceipt:
        """Add a comment; the key goes into its metadata. Raises Retryable, Terminal, Unknown."""
        vendor = zendesk()
        change = {"comment": {"body": body, "public": customer_may_see}, "metadata": {"billing_key": key}}
        reply = vendor.call(
            "PUT", f"/tickets/{_number(ticket_id)}.json", has_effect=True, json={"ticket": change}, headers={"Idempotency-Key": key}
        )
        audit_id = entry(reply.content, "audit", "id")
        reference = str(audit_id) if audit_id is not None else ticket_id
        return SentReceipt(reference=reference, accepted_at=clock.now(), url=_agent_url(ticket_id))

    def look_up_comment(self, ticket_id: str, key: str) -> LookUp:
        """The comment that this key added, from the ticket's own history. Raises Retryable or Terminal."""
        vendor = zendesk()
        cursor = ""
        while True:
            params = {"page[size]": "100", **({"page[after]": cursor} if cursor else {})}
            reply = vendor.call("GET", f"/tickets/{_number(ticket_id)}/audits.json", has_effect=False, params=params)
            audits = entry(reply.content, "audits")
            if not isinstance(audits, list):
                raise vendor.unreadable(has_effect=False)
            for audit in audits:
                if key in (entry(audit, "metadata", "custom", "billing_key"), entry(audit, "metadata", "billing_key")):
                    at = iso_moment(entry(audit, "created_at")) or clock.now()
                    return Found(SentReceipt(reference=str(entry(audit, "id")), accepted_at=at, replayed=True, url=_agent_url(ticket_id)))
            following = entry(reply.content, "meta", "after_cursor")
            if entry(reply.content, "meta", "has_more") is not True or not isinstance(following, str) or following == cursor:
                return Absent()
            cursor = following


def _receipt(vendor: RestVendor, ticket: Any, *, has_effect: bool, replayed: bool) -> SentReceipt:
    number = entry(ticket, "id")
    if not isinstance(number, int | str) or not number:
        raise vendor.unreadable(has_effect=has_effect)
    at = iso_moment(entry(ticket, "created_at")) or clock.now()
    return SentReceipt(reference=str(number), accepted_at=at, replayed=replayed, url=_agent_url(str(number)))


def _agent_url(ticket_id: str) -> str:
    return f"{settings.ZENDESK_URL.rstrip('/')}/agent/tickets/{ticket_id}"


def _number(ticket_id: str) -> str:
    if not ticket_id.isascii() or not ticket_id.replace("-", "").replace("_", "").isalnum():
        raise Terminal("zendesk.bad_ticket", "That is no ticket number. Nothing was sent.")
    return ticket_id
