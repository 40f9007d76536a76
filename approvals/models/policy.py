"""The rules as rows: dated, with a source and a switch, edited by a lead, with history. And the two ledgers that the rules count."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords

from billing_ai.kernel import clock, ids


class Policy(models.Model):
    """One rule of contact, retry or drafting. `kind` says which code reads `params`; a row that is off is not applied."""

    key = models.CharField(max_length=60, primary_key=True, help_text="contact.quiet_hours, retry.visa.window …")
    kind = models.CharField(max_length=30, help_text="contact, retry, draft, approval, reference_rates, brand")
    title = models.CharField(max_length=120)
    params = models.JSONField(default=dict)
    is_enabled = models.BooleanField(default=True)
    effective_from = models.DateField()
    source = models.CharField(max_length=300, help_text="where the rule comes from")
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField(default=clock.now)
    reason = models.TextField(blank=True, default="", help_text="why it was changed")
    history = HistoricalRecords()

    class Meta:
        verbose_name_plural = "policies"
        permissions = [("change_rules", "Change policies, limits and phases; use the kill switch")]

    def __str__(self) -> str:
        return self.title


class Phase(models.Model):
    """How far the machine may go for one agent and one segment of customers. The most specific segment that fits wins."""

    OBSERVE, ASSIST, AUTOMATE = "observe", "assist", "automate"

    agent = models.CharField(max_length=40)
    segment = models.CharField(max_length=60, default="everyone")
    match = models.JSONField(
        default=dict, blank=True, help_text="{tier, country, currency, plan, tag: [values], amount_max: reference cents}"
    )
    rank = models.PositiveSmallIntegerField(default=100, help_text="lower is looked at first")
    phase = models.CharField(max_length=10, default=ASSIST)
    sample_to_people_percent = models.PositiveSmallIntegerField(
        default=10, help_text="share of automated actions that a person sees all the same"
    )
    model_words = models.BooleanField(
        "a model's words go out by themselves", default=False, help_text="in automate only, by two leads; else only built-in texts do"
    )
    model_words_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="waits for a second lead"
    )
    requested_phase = models.CharField(max_length=10, blank=True, default="", help_text="waits for a second lead")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField(default=clock.now)
    reason = models.TextField(blank=True, default="")
    history = HistoricalRecords()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agent", "segment"], name="one_phase_per_segment")]

    def __str__(self) -> str:
        return f"{self.agent}, {self.segment}: {self.phase}"


class Limit(models.Model):
    """One hard limit on one agent. Amounts in reference cents. A missing limit denies automation."""

    agent = models.CharField(max_length=40)
    key = models.CharField(
        max_length=40, help_text="amount_per_action, second_pair_of_eyes_above, specialist_limit, daily_count, daily_amount …"
    )
    value = models.BigIntegerField()
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField(default=clock.now)
    reason = models.TextField(blank=True, default="")
    history = HistoricalRecords()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agent", "key"], name="one_limit_per_key")]

    def __str__(self) -> str:
        return f"{self.agent} {self.key} {self.value}"


class KillSwitch(models.Model):
    """`scope` is `all` or an agent's name. While on, nothing of that scope goes out."""

    scope = models.CharField(max_length=40, primary_key=True)
    is_on = models.BooleanField(default=False)
    reason = models.TextField(blank=True, default="")
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField(default=clock.now)
    history = HistoricalRecords()

    def __str__(self) -> str:
        return f"{self.scope}: {'on' if self.is_on else 'off'}"


class RuleStamp(models.Model):
    """One row that changes with every change of a policy, limit, phase or switch, so that each process knows at once when its copy is old."""

    stamp = models.UUIDField(default=ids.new_id)

    def __str__(self) -> str:
        return str(self.stamp)


class DailyUse(models.Model):
    """How much of one daily limit is used up: one row per agent, day (UTC) and key. Raised only under a guard that the limit sets."""

    agent = models.CharField(max_length=40)
    on = models.DateField()
    key = models.CharField(max_length=40, help_text="daily_count, or daily_amount.EUR in reference cents")
    used = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["agent", "on", "key"], name="one_use_per_day"),
            models.CheckConstraint(condition=models.Q(used__gte=0), name="use_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.agent} {self.on} {self.key}: {self.used}"


class DailyTake(models.Model):
    """What one execution took from the daily limits: the same execution never takes twice."""

    execution = models.OneToOneField("approvals.Execution", on_delete=models.PROTECT, related_name="daily_take")
    agent = models.CharField(max_length=40)
    on = models.DateField()
    amounts = models.JSONField(default=dict, help_text="how much was added to each key")
    given_back = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.agent} {self.on}"


class Consent(models.Model):
    """What a customer allows on one channel. The newest word counts; `source` says whose word it was."""

    GRANTED, DENIED = "granted", "denied"

    chargebee_customer_id = models.CharField(max_length=100)
    channel = models.CharField(max_length=10, help_text="email, sms or call")
    state = models.CharField(max_length=10)
    source = models.CharField(max_length=30, help_text="chargebee, reply, unsubscribe, console, import, api")
    recorded_at = models.DateTimeField(default=clock.now)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    history = HistoricalRecords()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chargebee_customer_id", "channel"], name="one_consent_per_channel")]

    def __str__(self) -> str:
        return f"{self.chargebee_customer_id} {self.channel}: {self.state}"


class Suppression(models.Model):
    """A customer, or an address known by its keyed hash, that is not to be contacted, until a date or for good."""

    chargebee_customer_id = models.CharField(max_length=100, blank=True, default="")
    address_hash = models.CharField(max_length=64, blank=True, default="")
    channel = models.CharField(max_length=10, blank=True, default="", help_text="empty: every channel")
    kind = models.CharField(
        max_length=20, default="do_not_contact", help_text="do_not_contact, hardship, bankruptcy, deceased, wrong_person"
    )
    until_on = models.DateField(null=True, blank=True)
    reason = models.TextField(blank=True, default="")
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(default=clock.now)
    is_active = models.BooleanField(default=True)
    history = HistoricalRecords()

    class Meta:
        indexes = [
            models.Index(fields=["chargebee_customer_id"], name="suppression_by_customer", condition=models.Q(is_active=True)),
            models.Index(fields=["address_hash"], name="suppression_by_address", condition=models.Q(is_active=True)),
        ]
        constraints = [
            models.CheckConstraint(condition=~models.Q(chargebee_customer_id="", address_hash=""), name="suppression_of_someone"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.chargebee_customer_id or self.address_hash[:8]}"


class CollectionAttempt(models.Model):
    """The retry ledger: one row per attempt to collect, whoever made it, from Chargebee's transactions."""

    chargebee_transaction_id = models.CharField(max_length=100, unique=True)
    chargebee_customer_id = models.CharField(max_length=100)
    chargebee_invoice_id = models.CharField(max_length=100, blank=True, default="")
    instrument_hash = models.CharField(max_length=64)
    merchant_account = models.CharField(max_length=100, blank=True, default="")
    network = models.CharField(max_length=20, blank=True, default="")
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    happened_at = models.DateTimeField()
    succeeded = models.BooleanField()
    source = models.CharField(max_length=20, help_text="ours, chargebee_dunning, customer, manual, unknown")
    decline_code = models.CharField(max_length=100, blank=True, default="", help_text="in the gateway's own numbering")
    network_code = models.CharField(
        max_length=10, blank=True, default="", help_text="the card network's response code; empty: not passed on"
    )
    decline_category = models.CharField(max_length=40, blank=True, default="")
    retryable = models.CharField(max_length=30, blank=True, default="", help_text="yes, no, after_update … from the table of decline codes")
    min_wait_hours = models.PositiveIntegerField(null=True, blank=True, help_text="how long the issuer asks to wait before another try")
    advice_code = models.CharField(max_length=10, blank=True, default="")

    class Meta:
        indexes = [
            models.Index(fields=["instrument_hash", "-happened_at"], name="attempt_by_instrument"),
            models.Index(fields=["chargebee_invoice_id", "-happened_at"], name="attempt_by_invoice"),
        ]

    def __str__(self) -> str:
        return self.chargebee_transaction_id


class Instrument(models.Model):
    """One payment instrument, known by its keyed hash. The row that is locked while a slot in its windows is checked and taken."""

    instrument_hash = models.CharField(max_length=64, primary_key=True)

    def __str__(self) -> str:
        return self.instrument_hash[:8]


class RetryReservation(models.Model):
    """A slot taken in the windows before a collection is tried. Status: held → used | released."""

    HELD, USED, RELEASED = "held", "used", "released"

    execution = models.OneToOneField("approvals.Execution", on_delete=models.PROTECT, related_name="reservation")
    instrument_hash = models.CharField(max_length=64)
    merchant_account = models.CharField(max_length=100, blank=True, default="")
    network = models.CharField(max_length=20, blank=True, default="")
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=10, default=HELD)
    reserved_at = models.DateTimeField(default=clock.now)
    chargebee_transaction_id = models.CharField(max_length=100, blank=True, default="")

    class Meta:
        indexes = [models.Index(fields=["instrument_hash", "-reserved_at"], name="reservation_by_instrument")]

    def __str__(self) -> str:
        return f"{self.instrument_hash[:8]} {self.status}"
