"""Who may call, what they were told, and what is still to be told."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords

from billing_ai.kernel import clock, ids
from billing_ai.work.models import Leased, due_index


class ApiClient(models.Model):
    """A tenant: one integration, with the customers it may reach and the ids it sends. Nothing of another client is ever visible to it."""

    name = models.SlugField(max_length=60, unique=True, help_text="short name, used in commands and beside what it sends")
    title = models.CharField(max_length=120, blank=True, default="")
    covers_everyone = models.BooleanField(default=False, help_text="reaches every customer; otherwise only those of its business entities")
    business_entity_ids = models.JSONField(default=list, blank=True, help_text="Chargebee business entities whose customers it reaches")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now)
    history = HistoricalRecords()

    def __str__(self) -> str:
        return self.title or self.name


class ApiToken(models.Model):
    """A key to the API. The secret was shown once; only its hash is here."""

    id = models.UUIDField(primary_key=True, default=ids.new_id)
    client = models.ForeignKey(ApiClient, on_delete=models.PROTECT, related_name="tokens")
    label = models.CharField(max_length=120, help_text="what uses it")
    hint = models.CharField(max_length=12, help_text="how the token begins, to recognise it by")
    token_hash = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    may_act_as = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="+", help_text="people in whose name it may decide"
    )
    rate_per_minute = models.PositiveIntegerField(default=300)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(default=clock.now)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    replaced_by = models.OneToOneField("self", null=True, blank=True, on_delete=models.PROTECT, related_name="replaces")
    revoked_at = models.DateTimeField(null=True, blank=True)
    history = HistoricalRecords(excluded_fields=["token_hash"])

    def __str__(self) -> str:
        return f"{self.label} ({self.hint}…)"


class RateUse(models.Model):
    """How many calls a token has made in its present minute: one row a token, counted by one statement that all processes share."""

    token = models.OneToOneField(ApiToken, primary_key=True, on_delete=models.CASCADE, related_name="rate_use")
    minute = models.BigIntegerField()
    used = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.used} in minute {self.minute}"


class IdempotentCall(models.Model):
    """The answer to a write that carried an Idempotency-Key, committed with the write itself. Forgotten after a week."""

    client = models.ForeignKey(ApiClient, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64, help_text="of method, path, acting user and body")
    answer = models.JSONField(default=dict, help_text="{status, body, headers}")
    made_at = models.DateTimeField(default=clock.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key


class Change(models.Model):
    """One line of the change feed. `position` is given to committed rows only, in order, so that a reader's cursor never skips one."""

    position = models.BigIntegerField(null=True, unique=True)
    kind = models.CharField(max_length=40, help_text="case.opened, case.settled, case.changed, proposal.changed, score.band_changed, ping")
    chargebee_customer_id = models.CharField(max_length=100)
    only_for = models.ForeignKey(
        ApiClient, null=True, on_delete=models.CASCADE, related_name="+", help_text="null: whoever reaches the customer"
    )
    subject_kind = models.CharField(max_length=20)
    subject_id = models.CharField(max_length=100)
    happened_at = models.DateTimeField(default=clock.now)
    payload = models.JSONField(default=dict, help_text="ids and derived values; no names, no words")
    trace_id = models.CharField(max_length=32, blank=True, default="")

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="change_unnumbered", condition=models.Q(position__isnull=True)),
            models.Index(fields=["subject_kind", "subject_id", "-id"], name="change_by_subject"),
            models.Index(fields=["chargebee_customer_id", "-id"], name="change_by_customer"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id}"


class ChangeHead(models.Model):
    """The last position that was given, and the last that is kept no longer. Locked while more are given or forgotten."""

    last = models.BigIntegerField(default=0)
    forgotten = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.last)


class WebhookEndpoint(models.Model):
    """Where a client wants to be called. The signing secret is sealed."""

    id = models.UUIDField(primary_key=True, default=ids.new_id)
    client = models.ForeignKey(ApiClient, on_delete=models.PROTECT, related_name="endpoints")
    url = models.URLField(max_length=500)
    kinds = models.JSONField(default=list, help_text="which changes it wants")
    sealed_secret = models.BinaryField()
    sealed_previous_secret = models.BinaryField(null=True, help_text="also signs until previous_secret_until")
    previous_secret_until = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    stopped_reason = models.CharField(max_length=200, blank=True, default="", help_text="why it is not called any more")
    created_at = models.DateTimeField(default=clock.now)
    history = HistoricalRecords(excluded_fields=["sealed_secret", "sealed_previous_secret"])

    def __str__(self) -> str:
        return self.url

    @property
    def key_name(self) -> str:
        """Under which key its secrets are sealed."""
        return f"webhook-endpoint:{self.pk}"


class WebhookDelivery(Leased):
    """One change to be told to one endpoint. waiting → leased → done | parked; a replay makes it wait again."""

    id = models.UUIDField(primary_key=True, default=ids.new_id)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, related_name="deliveries")
    change = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="deliveries")
    made_at = models.DateTimeField(default=clock.now)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="HTTP status of the last answer; empty: no answer")
    delivered_at = models.DateTimeField(null=True, blank=True)
    replays = models.PositiveIntegerField(default=0)
    trace_id = models.CharField(max_length=32, default=ids.new_trace_id)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["endpoint", "change"], name="one_delivery_per_change")]
        indexes = [
            due_index("delivery_due"),
            models.Index(fields=["endpoint", "-made_at"], name="delivery_by_endpoint"),
        ]

    def __str__(self) -> str:
        return f"{self.change.kind} to {self.endpoint_id}"
