"""A proposal, the revisions of what it would do, the decisions on it, and its one execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords

from approvals.models.cases import Case
from billing_ai.kernel import clock, ids
from billing_ai.kernel.money import Money
from billing_ai.work.models import Leased, due_index

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class Proposal(models.Model):
    """One thing that would be done outside. `transitions.py` is the only writer of `status`; its table says what may follow what."""

    id = models.UUIDField(primary_key=True, default=ids.new_id)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="proposals")
    agent = models.CharField(max_length=40)
    action = models.CharField(max_length=40, help_text="key of approvals.actions.ACTIONS")
    step = models.CharField(max_length=60, help_text="which step of the plan: part of the business key")
    status = models.CharField(max_length=16)
    current = models.ForeignKey("approvals.Revision", null=True, on_delete=models.PROTECT, related_name="+")
    chargebee_customer_id = models.CharField(max_length=100, blank=True, default="")
    chargebee_invoice_id = models.CharField(max_length=100, blank=True, default="")
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField(default=0)
    facts_hash = models.CharField(max_length=64, help_text="of the facts that the draft rests on")
    verdict = models.JSONField(default=dict, blank=True, help_text="the policy gate's checks at the last look")
    phase = models.CharField(max_length=10, default="assist")
    role_needed = models.CharField(max_length=12, default="specialist")
    approvals_needed = models.PositiveSmallIntegerField(default=1)
    needs_person = models.BooleanField(default=False)
    reasons = models.JSONField(default=list, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()
    run_id = models.UUIDField(null=True)
    trace_id = models.CharField(max_length=32)
    chargebee_event_id = models.CharField(max_length=100, blank=True, default="")
    prompt_hash = models.CharField(max_length=64, blank=True, default="")
    model = models.CharField(max_length=100, blank=True, default="", help_text="who wrote the words: a model, or template")
    status_reason = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=clock.now)
    decided_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    history = HistoricalRecords(excluded_fields=["verdict", "reasons"])

    revisions: RelatedManager[Revision]
    decisions: RelatedManager[Decision]

    class Meta:
        constraints = [
            # One effect per business key: a step of an invoice is proposed anew only when the earlier try came to nothing.
            models.UniqueConstraint(
                fields=["chargebee_customer_id", "chargebee_invoice_id", "action", "step"],
                condition=~models.Q(status__in=["rejected", "withdrawn", "expired", "blocked", "observed", "failed", "declined"]),
                name="one_effect_per_business_key",
            ),
        ]
        indexes = [
            models.Index(fields=["case", "created_at"], name="proposal_by_case"),
            models.Index(fields=["status", "expires_at"], name="proposal_by_status"),
            models.Index(fields=["-created_at"], name="proposal_newest"),
            models.Index(fields=["case"], name="proposal_second", condition=models.Q(status="waiting_second")),
            models.Index(fields=["trace_id"], name="proposal_by_trace"),
        ]

    def __str__(self) -> str:
        return f"{self.action} for {self.chargebee_invoice_id}"

    @property
    def amount(self) -> Money:
        """What is at stake in this action; zero for one that moves no money."""
        return Money(self.amount_minor, self.currency)


class Revision(models.Model):
    """What exactly would be done. Never changed: an edit is a new revision. The words are sealed under the customer's own key."""

    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    payload = models.JSONField(default=dict, help_text="the action's values: ids, amounts, dates")
    sealed_words = models.BinaryField(null=True, help_text="subject and body with their slots")
    channel = models.CharField(max_length=10, blank=True, default="")
    language = models.CharField(max_length=20, blank=True, default="")
    tone = models.CharField(max_length=20, blank=True, default="")
    content_hash = models.CharField(max_length=64, help_text="of payload and words: what an approval binds to")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", help_text="null: the agent")
    findings = models.JSONField(default=list, blank=True, help_text="what the verifier found")
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["proposal", "number"], name="revision_number_once")]

    def __str__(self) -> str:
        return f"revision {self.number}"


class Decision(models.Model):
    """What a person or a policy decided, and on exactly what."""

    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, related_name="decisions")
    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20, help_text="approve, reject, edit, snooze, escalate, withdraw, settle …")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="decisions")
    by_policy = models.CharField(max_length=80, blank=True, default="")
    role = models.CharField(max_length=12, blank=True, default="")
    reason_code = models.CharField(max_length=40, blank=True, default="")
    note = models.TextField(blank=True, default="")
    content_hash = models.CharField(max_length=64)
    facts_hash = models.CharField(max_length=64)
    checks: models.JSONField[list[dict[str, Any]] | None] = models.JSONField(
        null=True,
        help_text="every check of the gate's last look before it, allowed ones too; none for a step that follows another's approval",
    )
    at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["proposal", "revision", "by"], condition=models.Q(kind="approve", by__isnull=False), name="one_approval_per_person"
            )
        ]
        indexes = [models.Index(fields=["by", "-at"], name="decision_by_person")]

    def __str__(self) -> str:
        return f"{self.kind} {self.at:%Y-%m-%d %H:%M}"


class Execution(Leased):
    """The one effect of an approved proposal.

    waiting (ready) → leased → executing → done | declined | failed | unknown | withdrawn; unknown → done | waiting | person → done | failed.
    `executing` is committed before the call, so a worker that dies leaves `unknown` behind and never a second call. `settle_after` on a
    `leased` row: payment pages are being made for it, which nobody has been told of; a worker that dies there leaves nothing to settle.
    """

    EXECUTING, DECLINED, FAILED, UNKNOWN, WITHDRAWN, PERSON = "executing", "declined", "failed", "unknown", "withdrawn", "person"

    proposal = models.OneToOneField(Proposal, on_delete=models.PROTECT, related_name="execution")
    action = models.CharField(max_length=40)
    business_key = models.CharField(max_length=64, unique=True, help_text="what the idempotency key is derived from")
    idempotency_key = models.CharField(max_length=64)
    request = models.JSONField(default=dict, help_text="the frozen request, without words or names")
    sealed_request = models.BinaryField(null=True, help_text="the frozen words, under the customer's own key")
    to_mark = models.CharField(
        max_length=64, blank=True, default="", help_text="keyed mark of the number texted: by it an answer finds its customer"
    )
    first_sent_at = models.DateTimeField(null=True, blank=True)
    settle_after = models.DateTimeField(null=True, blank=True)
    settled_by = models.CharField(max_length=60, blank=True, default="", help_text="answer, look-up or a person")
    result = models.JSONField(default=dict, blank=True)
    last_look: models.JSONField[dict[str, Any] | None] = models.JSONField(
        null=True,
        blank=True,
        help_text="{at, checks}: each check of the last look before the call, or before it was put off or withdrawn; empty: never looked",
    )
    trace_id = models.CharField(max_length=32)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            due_index("execution_due"),
            models.Index(
                fields=["status", "settle_after"], name="execution_unsettled", condition=models.Q(status__in=["executing", "unknown"])
            ),
            models.Index(fields=["-finished_at"], name="execution_newest"),
            models.Index(fields=["to_mark"], name="execution_by_mark", condition=~models.Q(to_mark="")),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.status}"


class ExecutionAttempt(models.Model):
    """One call. Committed before it is made; ended with what came back."""

    execution = models.ForeignKey(Execution, on_delete=models.PROTECT, related_name="attempts")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=12, default="executing")
    code = models.CharField(max_length=80, blank=True, default="")
    sentence = models.TextField(blank=True, default="")
    response: models.JSONField[dict[str, Any]] = models.JSONField(default=dict, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["execution", "number"], name="attempt_number_once")]

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.outcome}"
