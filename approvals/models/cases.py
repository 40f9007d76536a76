"""A case gathers what is proposed, said and promised about one invoice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords

from billing_ai.kernel import clock, ids
from billing_ai.kernel.money import Money

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from approvals.models.proposals import Proposal

_TO_DECIDE = models.Q(status="open", waiting_count__gt=0)
_ACTIVE = models.Q(status__in=["open", "promised", "disputed"])


class Case(models.Model):
    """One open case per kind, customer and invoice; without an invoice it is about the customer as a whole. Status: open → promised | disputed → open → recovered | closed."""

    OPEN, PROMISED, DISPUTED, RECOVERED, CLOSED = "open", "promised", "disputed", "recovered", "closed"
    ACTIVE = (OPEN, PROMISED, DISPUTED)

    id = models.UUIDField(primary_key=True, default=ids.new_id)
    kind = models.CharField(max_length=30, default="dunning")
    agent = models.CharField(max_length=40, default="dunning")
    chargebee_customer_id = models.CharField(max_length=100, blank=True, default="", help_text="empty: about many customers at once")
    chargebee_invoice_id = models.CharField(max_length=100, blank=True, default="", help_text="empty: about the customer as a whole")
    status = models.CharField(max_length=12, default=OPEN)
    currency = models.CharField(max_length=3)
    amount_due_minor = models.BigIntegerField()
    due_on = models.DateField(null=True, blank=True)
    category = models.CharField(max_length=40, blank=True, default="", help_text="why the payment failed, from the table of decline codes")
    headline = models.CharField(max_length=300, blank=True, default="", help_text="why it stands where it stands, in words without names")
    likelihood_bp = models.PositiveIntegerField(default=0, help_text="likelihood that it comes in, hundredths of a percent")
    uplift_bp = models.PositiveIntegerField(default=0, help_text="what acting now changes, hundredths of a percent")
    stake = models.BigIntegerField(default=0, help_text="expected value at stake in reference cents: amount due × uplift; orders the queue")
    amount_reference = models.BigIntegerField(default=0, help_text="amount due in reference cents, to compare currencies")
    reasons = models.JSONField(default=list, blank=True)
    tier = models.CharField(max_length=40, blank=True, default="")
    country = models.CharField(max_length=2, blank=True, default="")
    language = models.CharField(max_length=10, blank=True, default="")
    tags = models.JSONField(default=list, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="cases")
    escalated_to_lead = models.BooleanField(default=False)
    deadline_at = models.DateTimeField(null=True, blank=True)
    snoozed_until = models.DateTimeField(null=True, blank=True)
    disputed_at = models.DateTimeField(null=True, blank=True, help_text="when the customer disputed it last; kept once it is settled")
    broken_promise = models.BooleanField(default=False)
    next_action = models.CharField(max_length=200, blank=True, default="")
    waiting_count = models.PositiveSmallIntegerField(default=0, help_text="proposals that wait for a person")
    trace_id = models.CharField(max_length=32)
    opened_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)
    closed_at = models.DateTimeField(null=True, blank=True)
    words_dropped_at = models.DateTimeField(null=True, blank=True, help_text="when its words were dropped because their time was over")
    recovered_minor = models.BigIntegerField(default=0)
    history = HistoricalRecords(excluded_fields=["updated_at", "words_dropped_at"])

    proposals: RelatedManager[Proposal]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "chargebee_customer_id", "chargebee_invoice_id"],
                condition=_ACTIVE,
                name="one_open_case_per_invoice",
            ),
        ]
        indexes = [
            models.Index(fields=["-stake", "id"], name="case_queue", condition=_TO_DECIDE),
            models.Index(fields=["status", "-stake", "id"], name="case_by_status"),
            models.Index(fields=["owner", "status", "-stake"], name="case_by_owner"),
            models.Index(fields=["chargebee_customer_id", "-opened_at"], name="case_by_customer"),
            models.Index(fields=["chargebee_invoice_id"], name="case_by_invoice"),
            models.Index(fields=["-closed_at"], name="case_closed", condition=models.Q(closed_at__isnull=False)),
            models.Index(
                fields=["closed_at", "id"], name="case_words_kept", condition=models.Q(closed_at__isnull=False, words_dropped_at=None)
            ),
            # A view or a filter that few cases fit would else be looked for through the whole queue.
            models.Index(fields=["-stake", "id"], name="case_active", condition=_ACTIVE),
            models.Index(fields=["deadline_at"], name="case_deadline", condition=_ACTIVE & models.Q(deadline_at__isnull=False)),
            models.Index(fields=["-stake", "id"], name="case_asleep", condition=_ACTIVE & models.Q(snoozed_until__isnull=False)),
            models.Index(fields=["-stake", "id"], name="case_broken", condition=_ACTIVE & models.Q(broken_promise=True)),
            models.Index(fields=["-stake", "id"], name="case_escalated", condition=_ACTIVE & models.Q(escalated_to_lead=True)),
            models.Index(fields=["-amount_reference"], name="case_high", condition=_TO_DECIDE),
            models.Index(fields=["category", "-stake", "id"], name="case_queue_category", condition=_TO_DECIDE),
            models.Index(fields=["currency", "-stake", "id"], name="case_queue_currency", condition=_TO_DECIDE),
            models.Index(fields=["language", "-stake", "id"], name="case_queue_language", condition=_TO_DECIDE),
            models.Index(fields=["tier", "-stake", "id"], name="case_queue_tier", condition=_TO_DECIDE),
            models.Index(fields=["due_on"], name="case_queue_due", condition=_TO_DECIDE),
            # For a search by how an id begins, whatever the database's collation.
            models.Index(fields=["chargebee_customer_id"], name="case_customer_begins", opclasses=["varchar_pattern_ops"]),
            models.Index(fields=["chargebee_invoice_id"], name="case_invoice_begins", opclasses=["varchar_pattern_ops"]),
        ]
        permissions = [
            ("work_case", "Review, edit, approve and reject within the own limit"),
            ("lead_case", "Approve above the limit, second approvals, escalations, bulk"),
            ("read_personal", "See names and addresses, fetched live"),
        ]

    def __str__(self) -> str:
        return f"Invoice {self.chargebee_invoice_id}" if self.chargebee_invoice_id else self.chargebee_customer_id or self.kind

    @property
    def alone_bp(self) -> int:
        """The likelihood that it comes in when nobody acts, hundredths of a percent."""
        return max(0, self.likelihood_bp - self.uplift_bp)

    @property
    def at_stake_reference(self) -> int:
        """What it is about in reference cents: what is due, or for a case without an invoice the revenue that would be lost."""
        return self.stake * 10_000 // self.uplift_bp if self.uplift_bp else self.amount_reference

    @property
    def amount_due(self) -> Money:
        """What the customer owed when the facts were last fetched."""
        return Money(self.amount_due_minor, self.currency)


class Note(models.Model):
    """What a person wrote down on a case: a note, or the log of a call."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="notes")
    kind = models.CharField(max_length=20, default="note", help_text="note or call")
    sealed_text = models.BinaryField(help_text="under the customer's own key")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    written_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return f"{self.kind} {self.written_at:%Y-%m-%d}"


class Promise(models.Model):
    """A promise to pay. Status: open → kept | part_kept | broken, by itself, from what came in until the end of `due_on`."""

    OPEN, KEPT, PART_KEPT, BROKEN, WITHDRAWN = "open", "kept", "part_kept", "broken", "withdrawn"

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="promises")
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    due_on = models.DateField()
    status = models.CharField(max_length=10, default=OPEN)
    kept_minor = models.BigIntegerField(default=0)
    amount_due_at_start_minor = models.BigIntegerField()
    taken_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    taken_at = models.DateTimeField(default=clock.now)
    settled_at = models.DateTimeField(null=True, blank=True)
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["case"], condition=models.Q(status="open"), name="one_open_promise_per_case"),
            models.CheckConstraint(condition=models.Q(amount_minor__gt=0), name="promise_of_something"),
        ]

    def __str__(self) -> str:
        return f"{self.currency} {self.amount_minor} by {self.due_on}"


class Outcome(models.Model):
    """What became of it: money that came in, and which of our steps is credited with it."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="outcomes")
    proposal = models.ForeignKey("approvals.Proposal", null=True, on_delete=models.PROTECT, related_name="outcomes")
    kind = models.CharField(max_length=20, help_text="recovered, part_recovered, written_off, cancelled")
    credited_to = models.CharField(max_length=30, help_text="retry, email, sms, chargebee (its own dunning), customer (by themselves)")
    chargebee_transaction_id = models.CharField(max_length=100, blank=True, default="")
    recovered_minor = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3)
    happened_at = models.DateTimeField()
    chargebee_event_id = models.CharField(max_length=100, blank=True, default="")
    attempt_number = models.PositiveIntegerField(default=0, help_text="which collection attempt on the invoice brought it in")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["case", "chargebee_transaction_id"],
                condition=~models.Q(chargebee_transaction_id=""),
                name="one_outcome_per_transaction",
            )
        ]
        indexes = [models.Index(fields=["-happened_at"], name="outcome_newest")]

    def __str__(self) -> str:
        return f"{self.kind} {self.currency} {self.recovered_minor}"


class Contact(models.Model):
    """One row per contact with a customer, over all channels: what the frequency rules count."""

    chargebee_customer_id = models.CharField(max_length=100)
    case = models.ForeignKey(Case, null=True, on_delete=models.PROTECT, related_name="contacts")
    channel = models.CharField(max_length=10, help_text="email, sms or call")
    direction = models.CharField(max_length=3, default="out", help_text="out or in")
    kind = models.CharField(max_length=30, default="dunning", help_text="dunning, confirmation, reply, conversation …")
    at = models.DateTimeField(default=clock.now)
    execution = models.OneToOneField("approvals.Execution", null=True, on_delete=models.PROTECT, related_name="contact")
    sealed_text = models.BinaryField(null=True, help_text="what was said, under the customer's own key")

    class Meta:
        indexes = [models.Index(fields=["chargebee_customer_id", "-at"], name="contact_by_customer")]

    def __str__(self) -> str:
        return f"{self.channel} {self.direction} {self.at:%Y-%m-%d %H:%M}"
