"""Runs, model calls, and which prompt or model is live."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords

from billing_ai.kernel import clock, ids
from billing_ai.work.models import Leased, due_index


class AgentRun(Leased):
    """One agent looking at one subject for one cause. Status: waiting → leased → done | skipped | parked."""

    SKIPPED = "skipped"
    FAIR_BY = "chargebee_customer_id"

    id = models.UUIDField(primary_key=True, default=ids.new_id)
    agent = models.CharField(max_length=40)
    subject_kind = models.CharField(max_length=20, help_text="invoice, customer …")
    subject_id = models.CharField(max_length=100)
    cause = models.CharField(max_length=120, help_text="the event's id, or the schedule's tick")
    cause_type = models.CharField(max_length=100, blank=True, default="")
    instruction = models.TextField(blank=True, default="", help_text="what a person asked for when rejecting a draft")
    chargebee_customer_id = models.CharField(max_length=100, blank=True, default="")
    trace_id = models.CharField(max_length=32, default=ids.new_trace_id)
    created_at = models.DateTimeField(default=clock.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    phase = models.CharField(max_length=10, blank=True, default="")
    facts_hash = models.CharField(max_length=64, blank=True, default="")
    decision = models.JSONField(default=dict, blank=True, help_text="the agent's derived values, no personal data")
    prompt_hash = models.CharField(max_length=64, blank=True, default="")
    model = models.CharField(max_length=100, blank=True, default="")
    words_from = models.CharField(max_length=20, blank=True, default="", help_text="model, or template when the model could not serve")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["agent", "subject_kind", "subject_id", "cause"], name="run_once_per_cause"),
            models.UniqueConstraint(
                fields=["agent", "subject_kind", "subject_id"], condition=models.Q(status="waiting"), name="one_waiting_run_per_subject"
            ),
        ]
        indexes = [
            due_index("run_due"),
            models.Index(fields=["chargebee_customer_id", "lane", "not_before"], name="run_fair", condition=models.Q(status="waiting")),
            models.Index(fields=["-created_at"], name="run_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.agent} {self.subject_id}"


class LlmCall(models.Model):
    """One attempt at one model. Text is not kept; its hash is. Money in millionths of a US dollar, NULL when unknown."""

    id = models.UUIDField(primary_key=True, default=ids.new_id)
    run = models.ForeignKey(AgentRun, null=True, on_delete=models.PROTECT, related_name="calls")
    agent = models.CharField(max_length=40)
    purpose = models.CharField(max_length=40, help_text="draft, repair, judge, gloss …")
    model = models.CharField(max_length=100)
    prompt_name = models.CharField(max_length=60)
    prompt_version = models.CharField(max_length=20)
    prompt_hash = models.CharField(max_length=64)
    trace_id = models.CharField(max_length=32)
    started_at = models.DateTimeField(default=clock.now)
    duration_ms = models.PositiveIntegerField(null=True)
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    cost_micro_usd = models.BigIntegerField(null=True)
    outcome = models.CharField(max_length=30, help_text="started, ok, or the reason it failed: timeout, schema, unreachable …")
    detail = models.CharField(max_length=200, blank=True, default="", help_text="in words, never the prompt or the answer")
    answer_hash = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        indexes = [
            models.Index(fields=["-started_at"], name="call_newest"),
            models.Index(fields=["trace_id"], name="call_by_trace"),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.outcome}"


class ModelSpend(models.Model):
    """What the models of one agent may have cost on one day, reserved before each call and settled after it."""

    day = models.DateField()
    agent = models.CharField(max_length=40)
    reserved_micro_usd = models.BigIntegerField(default=0)
    spent_micro_usd = models.BigIntegerField(default=0)
    calls = models.PositiveIntegerField(default=0)
    unknown_cost_calls = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", "agent"], name="one_spend_row_a_day")]

    def __str__(self) -> str:
        return f"{self.agent} {self.day}"


class Release(models.Model):
    """Which version of a prompt or a learned model is live. Status: offered → live → retired; two people promote."""

    OFFERED, LIVE, RETIRED = "offered", "live", "retired"

    agent = models.CharField(max_length=40)
    kind = models.CharField(max_length=20, help_text="prompt or model")
    name = models.CharField(max_length=60)
    version = models.CharField(max_length=40)
    content_hash = models.CharField(max_length=64)
    status = models.CharField(max_length=10, default=OFFERED)
    figures = models.JSONField(default=dict, blank=True)
    offered_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    promoted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(blank=True, default="")
    live_since = models.DateTimeField(null=True, blank=True)
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["agent", "kind", "name", "version"], name="release_version_once"),
            models.UniqueConstraint(fields=["agent", "kind", "name"], condition=models.Q(status="live"), name="one_live_release"),
        ]

    def __str__(self) -> str:
        return f"{self.agent} {self.name} {self.version}"
