"""What goes to a CRM: which of our values into which of its fields, and the batches of a night's push. Scores and flags only, no names."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords

from billing_ai.kernel import clock


class CrmField(models.Model):
    """One of our values goes into one field of one CRM. A value without an enabled row does not go there."""

    system = models.CharField(max_length=20, help_text="salesforce or hubspot")
    ours = models.CharField(max_length=40, help_text="key of approvals.crm_fields.VALUES")
    theirs = models.CharField(max_length=80, help_text="the CRM's own name of the field")
    is_enabled = models.BooleanField(default=True)
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField(default=clock.now)
    reason = models.TextField(blank=True, default="")
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["system", "ours"], name="one_field_per_value"),
            models.UniqueConstraint(fields=["system", "theirs"], condition=models.Q(is_enabled=True), name="one_value_per_field"),
        ]

    def __str__(self) -> str:
        return f"{self.system}: {self.ours} → {self.theirs}"


class CrmBatch(models.Model):
    """At most 100 customers' values of one push. Staged when the push is proposed and never changed; only how far it went is written later.

    `sending_to` is committed before the call and cleared with its answer: a row that has it set is one whose answer was lost.
    """

    push = models.UUIDField(help_text="the push that it belongs to, named in the proposal's payload")
    number = models.PositiveIntegerField()
    rows = models.JSONField(help_text="[[Chargebee customer id, {our key: value}], …]")
    content_hash = models.CharField(max_length=64)
    sending_to = models.CharField(max_length=20, blank=True, default="")
    sent = models.JSONField(default=dict, blank=True, help_text="per CRM: when, how many were taken, and for each refused one why")
    staged_at = models.DateTimeField(default=clock.now)

    class Meta:
        verbose_name_plural = "CRM batches"
        constraints = [models.UniqueConstraint(fields=["push", "number"], name="batch_number_once")]

    def __str__(self) -> str:
        return f"{self.push} {self.number}"
