"""Which adapter serves which reading port. Nothing here, and nothing that it names, can change anything outside."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings

from billing_ai.integrations.ports import HelpdeskReader, Ticket
from billing_ai.integrations.zendesk.reads import ZendeskReader


class NoHelpdesk:
    """HelpdeskReader where no help desk is set up: nobody has tickets."""

    def list_for_customer(self, customer_id: str, *, requester_address: str = "", limit: int = 20) -> Sequence[Ticket]:
        """Always empty."""
        return ()


def helpdesk() -> HelpdeskReader:
    """Where a customer's tickets are read."""
    return ZendeskReader() if settings.ZENDESK_URL else NoHelpdesk()
