"""Usage events, tickets, notes and CRM links as other systems tell of them.

`client` is the API client (the tenant) that told it: ids are unique per client, and nobody reads another's. A row whose customer is not
known yet waits (`status=waiting`, `chargebee_customer_id=""`) and is parked with a reason when the wait is over. Readers use rows with
`status=done` only; `queries.py` does that for them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models

from billing_ai.kernel import clock, ids
from billing_ai.work.models import Leased, due_index

WAIT_FOR_CUSTOMER = timedelta(hours=72)
SYSTEMS = ("chargebee", "salesforce", "hubspot", "other")
"""Whose id a customer is named by. `other`: any CRM; its link is made through the API first."""


def _wait_ends() -> datetime:
    return clock.now() + WAIT_FOR_CUSTOMER


class Incoming(Leased):
    """Something told of one customer. Statuses: waiting (for its customer) → done | parked (with the reason) | dropped (by a person)."""

    DROPPED = "dropped"

    client = models.CharField(max_length=60, help_text="the API client that sent it")
    external_id = models.CharField(max_length=200, help_text="the sender's own id: the same id is stored once")
    customer_system = models.CharField(max_length=20, help_text="chargebee, salesforce, hubspot or other")
    customer_ref = models.CharField(max_length=200, help_text="the customer's id in that system, as it was sent")
    chargebee_customer_id = models.CharField(max_length=100, blank=True, default="", help_text="empty: not known yet")
    received_at = models.DateTimeField(default=clock.now)
    wait_until = models.DateTimeField(default=_wait_ends, help_text="parked when its customer is still unknown then")
    trace_id = models.CharField(max_length=32, default=ids.new_trace_id)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.client} {self.external_id}"


def _common(name: str, moment: str) -> list[models.Index]:
    return [
        models.Index(fields=["chargebee_customer_id", f"-{moment}"], name=f"{name}_by_customer"),
        due_index(f"{name}_due"),
    ]


class UsageEvent(Incoming):
    """The product was used: `quantity` of `name` at `occurred_at`. Quantity is never negative; unit is the sender's word for it."""

    name = models.CharField(max_length=80, help_text="login, report.exported, api.call …")
    quantity = models.DecimalField(max_digits=18, decimal_places=4, default=1)
    unit = models.CharField(max_length=40, blank=True, default="", help_text="calls, GB, minutes …; empty: a count")
    occurred_at = models.DateTimeField()
    chargebee_subscription_id = models.CharField(max_length=100, blank=True, default="", help_text="where the sender knows it")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client", "external_id"], name="usage_event_once")]
        indexes = _common("usage", "occurred_at")


class ExternalTicket(Incoming):
    """A ticket of a help desk that has no adapter here. Newer `changed_at` overwrites older; the subject is sealed, untrusted text."""

    OPEN, PENDING, SOLVED, CLOSED = "open", "pending", "solved", "closed"
    STATES = (OPEN, PENDING, SOLVED, CLOSED)
    PRIORITIES = ("low", "normal", "high", "urgent")
    TONES = ("", "negative", "neutral", "positive")

    ticket_status = models.CharField(max_length=10, help_text="open, pending, solved or closed")
    priority = models.CharField(max_length=10, default="normal", help_text="low, normal, high or urgent")
    tone = models.CharField(max_length=10, blank=True, default="", help_text="negative, neutral, positive; empty: the sender does not say")
    opened_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    solved_at = models.DateTimeField(null=True, blank=True)
    sealed_subject = models.BinaryField(null=True, help_text="under the customer's own key, see sealed_for")
    sealed_for = models.CharField(max_length=240, blank=True, default="", help_text="whose key sealed it: the customer, or a waiting room")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client", "external_id"], name="ticket_once")]
        indexes = _common("ticket", "opened_at")


class ReplyNote(Incoming):
    """What was said: a customer's reply (`kind=reply`, with its channel) or a colleague's note in the CRM (`kind=note`)."""

    NOTE, REPLY = "note", "reply"
    CHANNELS = ("", "email", "sms", "call", "chat", "other")

    kind = models.CharField(max_length=10, help_text="note or reply")
    channel = models.CharField(max_length=10, blank=True, default="", help_text="how a reply came: email, sms, call, chat, other")
    author = models.CharField(max_length=100, blank=True, default="", help_text="the author's id in the sender's system; not a name")
    case_id = models.UUIDField(null=True, help_text="the case it is about, where the sender knows it")
    written_at = models.DateTimeField()
    sealed_text = models.BinaryField(null=True, help_text="under the customer's own key, see sealed_for")
    sealed_for = models.CharField(max_length=240, blank=True, default="", help_text="whose key sealed it: the customer, or a waiting room")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client", "kind", "external_id"], name="reply_note_once")]
        indexes = _common("reply_note", "written_at")


class CrmLink(models.Model):
    """One customer in one CRM: its id there, who owns it, and its tier as the CRM has it. The newest word of a client counts."""

    client = models.CharField(max_length=60, help_text="the API client that told it")
    system = models.CharField(max_length=20, help_text="salesforce, hubspot or other")
    crm_id = models.CharField(max_length=200, help_text="the account's or company's id in that CRM")
    chargebee_customer_id = models.CharField(max_length=100, db_index=True)
    owner = models.CharField(max_length=100, blank=True, default="", help_text="the owner's id in that CRM; not a name")
    tier = models.CharField(max_length=40, blank=True, default="", help_text="the tier as the CRM has it")
    version = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["client", "system", "crm_id"], name="one_customer_per_crm_id"),
            models.UniqueConstraint(fields=["client", "system", "chargebee_customer_id"], name="one_crm_id_per_customer"),
        ]

    def __str__(self) -> str:
        return f"{self.system} {self.crm_id}"


WAITING_ROOMS: tuple[type[Incoming], ...] = (UsageEvent, ExternalTicket, ReplyNote)
"""The tables in which rows may wait for their customer."""
