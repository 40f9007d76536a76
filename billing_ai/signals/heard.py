"""What floors above may want to hear of: news of customers was stored."""

from django.dispatch import Signal

# Sent inside the transaction that made the rows readable: customer_ids (a set of Chargebee ids), kind ("usage", "ticket", "reply", "note", "crm").
heard = Signal()
