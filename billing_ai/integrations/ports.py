"""What the floors above may ask of the outside world, in words of no vendor.

Every effect takes a `key`: the same key means the same effect, however often it is asked for. Every port that sends can be asked afterwards,
with `look_up`, whether that effect happened. The only errors are `Retryable`, `Terminal` and `Unknown` from `billing_ai.kernel.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SentReceipt:
    """The other system took it. `reference` is its own name for it (a message id, a ticket number)."""

    reference: str
    accepted_at: datetime
    replayed: bool = False
    """True when the other system said that it had seen this key before and did nothing new."""
    url: str = ""
    """Where a person can look at it, or empty."""


@dataclass(frozen=True, slots=True)
class Found:
    """The effect with that key exists in the other system."""

    receipt: SentReceipt


@dataclass(frozen=True, slots=True)
class Absent:
    """The other system answered, and has nothing under that key."""


@dataclass(frozen=True, slots=True)
class InProgress:
    """The other system has it and is not done; ask again later."""

    reference: str = ""


LookUp = Found | Absent | InProgress


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """One message to one person, rendered and final. Holds personal data: keep it in memory only."""

    to_address: str
    subject: str
    text: str
    to_name: str = ""
    html: str = ""
    """The same words as HTML, or empty for a text-only mail."""
    language: str = "en"
    """BCP 47 tag of the language it is written in."""
    from_address: str = ""
    """Empty for the configured sender."""
    reply_to: str = ""
    unsubscribe_url: str = ""
    """An https address that takes RFC 8058 one-click POSTs, or empty."""
    unsubscribe_address: str = ""
    """A mailbox that takes unsubscriptions, or empty."""


class MailPort(Protocol):
    """Mail to a customer."""

    def send(self, mail: OutgoingMail, *, key: str) -> SentReceipt:
        """Hand over one mail. `reference` of the receipt is the Message-ID, derived from the key. Raises Retryable, Terminal, Unknown."""

    def look_up(self, key: str) -> LookUp:
        """Was a mail with this key taken? Raises Unknown where the transport cannot be asked (plain SMTP cannot)."""


@dataclass(frozen=True, slots=True)
class OutgoingSms:
    """One text message. `to_number` in E.164 form (`+4915112345678`). Holds personal data: keep it in memory only."""

    to_number: str
    body: str


class SmsPort(Protocol):
    """Text messages to a customer."""

    def send(self, sms: OutgoingSms, *, key: str) -> SentReceipt:
        """Hand over one message. Raises Retryable, Terminal, Unknown."""

    def look_up(self, key: str, *, sms: OutgoingSms, sent_after: datetime) -> LookUp:
        """Did this message go out since `sent_after`? Text message providers keep no keys, so number and words are compared."""


@dataclass(frozen=True, slots=True)
class NewTicket:
    """A case for a person at the help desk."""

    subject: str
    body: str
    customer_id: str
    """Chargebee's customer id; kept on the ticket so that it can be found again."""
    requester_address: str = ""
    requester_name: str = ""
    priority: str = "normal"
    """`low`, `normal`, `high` or `urgent`."""
    tags: tuple[str, ...] = ()
    customer_may_see: bool = False
    """True makes the body a public comment, which the help desk may mail to the customer."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as a reader needs it: what it is about and where it stands. `subject` may hold personal data."""

    ticket_id: str
    subject: str
    status: str
    priority: str
    created_at: datetime | None
    updated_at: datetime | None
    url: str = ""
    tags: tuple[str, ...] = ()


class HelpdeskPort(Protocol):
    """Tickets, written."""

    def create_ticket(self, ticket: NewTicket, *, key: str) -> SentReceipt:
        """Open a ticket; `reference` is its number. Raises Retryable, Terminal, Unknown."""

    def look_up(self, key: str) -> LookUp:
        """The ticket that this key opened, if any."""

    def add_comment(self, ticket_id: str, body: str, *, key: str, customer_may_see: bool = False) -> SentReceipt:
        """Add a comment to a ticket. Raises Retryable, Terminal, Unknown."""

    def look_up_comment(self, ticket_id: str, key: str) -> LookUp:
        """The comment that this key added, if any."""


class HelpdeskReader(Protocol):
    """Tickets, read. Its own port, so that what may only read holds nothing that can write."""

    def list_for_customer(self, customer_id: str, *, requester_address: str = "", limit: int = 20) -> Sequence[Ticket]:
        """Tickets about a customer (empty: no matter whom) or opened by an address, newest first, at most `limit`. Raises Retryable or Terminal."""


@dataclass(frozen=True, slots=True)
class CustomerScore:
    """What the CRM is told about one customer. Field names are the CRM's own; values are scores and flags, no personal data."""

    customer_id: str
    fields: Mapping[str, str | int | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchReceipt:
    """How a batch went: the ids that were taken, and for each refused one why."""

    accepted: tuple[str, ...]
    refused: Mapping[str, str]
    accepted_at: datetime
    pause: timedelta = timedelta(0)
    """How long to wait before the next batch, so as to stay inside the vendor's limits as it told of them."""


@dataclass(frozen=True, slots=True)
class NewTask:
    """Something for an account owner to do."""

    customer_id: str
    subject: str
    body: str
    due_on: date | None = None
    is_urgent: bool = False
    owner_id: str = ""
    """The owner's id in that CRM; empty: whoever the CRM gives it to."""
    is_call: bool = False
    """True: the owner is to ring the customer."""


class CrmSink(Protocol):
    """Scores and tasks into the CRM."""

    def upsert_scores(self, batch: Sequence[CustomerScore], *, key: str) -> BatchReceipt:
        """Set fields on customers, by our id for them; setting the same again changes nothing. Raises Retryable, Terminal, Unknown."""

    def which_are_set(self, batch: Sequence[CustomerScore]) -> frozenset[str]:
        """Our ids of the customers on whom every one of these fields holds this value now. Raises Retryable, Terminal."""

    def create_task(self, task: NewTask, *, key: str) -> SentReceipt:
        """Create one task. Raises Retryable, Terminal, Unknown."""

    def look_up(self, key: str) -> LookUp:
        """The task that this key created, if any."""
