"""Scores as they stand and as they were, the nightly run's cursor, what a lead may change, and what is watched. No names, no words of customers.

A figure that is not known is NULL, never 0; a day that is known not to come is infinity.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords

from billing_ai.kernel import clock, ids


class Figures(models.Model):
    """The raw figures that a score rests on: the fields of `signals.CustomerSignals`, one column each."""

    failed_payments_90d = models.FloatField(null=True)
    late_payments_90d = models.FloatField(null=True)
    disputes_180d = models.FloatField(null=True)
    downgrades_180d = models.FloatField(null=True)
    tenure_days = models.FloatField(null=True)
    mrr_minor = models.FloatField(null=True)
    mrr_minor_90d_ago = models.FloatField(null=True)
    seats = models.FloatField(null=True)
    seats_90d_ago = models.FloatField(null=True)
    discount_ends_in_days = models.FloatField(null=True)
    card_expires_in_days = models.FloatField(null=True)
    days_to_renewal = models.FloatField(null=True)
    cancellation_in_days = models.FloatField(null=True)
    was_reactivated = models.FloatField(null=True)
    tickets_open = models.FloatField(null=True)
    oldest_ticket_days = models.FloatField(null=True)
    ticket_tone = models.FloatField(null=True)
    events_30d = models.FloatField(null=True)
    events_prior_30d = models.FloatField(null=True)
    messages_sent_90d = models.FloatField(null=True)
    messages_answered_90d = models.FloatField(null=True)

    class Meta:
        abstract = True


class Scored(Figures):
    """One customer's score at one moment. `p30`, `p60`, `p90`: the chance of leaving within as many days; health 0–100, NULL when unknown."""

    scored_at = models.DateTimeField()
    p30 = models.FloatField()
    p60 = models.FloatField()
    p90 = models.FloatField()
    health = models.FloatField(null=True)
    health_billing = models.FloatField(null=True)
    health_support = models.FloatField(null=True)
    health_product = models.FloatField(null=True)
    band = models.CharField(max_length=10, help_text="low, medium, high or critical")
    segment = models.CharField(max_length=40, blank=True, default="", help_text="who the customer is compared with")
    model_version = models.CharField(max_length=40, help_text="scorecard-…, or the release that scored it")

    class Meta:
        abstract = True


class ChurnScore(Scored):
    """The score of each customer as it stands: one row a customer. Read it through `queries`, which puts the reasons into words."""

    LOW, MEDIUM, HIGH, CRITICAL = "low", "medium", "high", "critical"
    BANDS = (LOW, MEDIUM, HIGH, CRITICAL)
    RISING, STEADY, FALLING, NEW = "rising", "steady", "falling", "new"
    TRENDS = (RISING, STEADY, FALLING, NEW)

    chargebee_customer_id = models.CharField(max_length=100, unique=True)
    currency = models.CharField(max_length=3, blank=True, default="", help_text="of mrr_minor; empty: several, or none")
    value_reference_cents = models.BigIntegerField(default=0, help_text="MRR in reference cents, to compare currencies")
    reason_codes = models.BigIntegerField(default=0, help_text="the strongest signals, packed; `packing.unpack` reads them")
    trend = models.CharField(max_length=8, default=NEW, help_text="of p90 against a month ago: rising, steady, falling or new")
    p90_before = models.FloatField(null=True, help_text="p90 a month ago")
    band_before = models.CharField(max_length=10, blank=True, default="", help_text="the band before the last change of band")
    band_changed_at = models.DateTimeField(null=True)
    history_at = models.DateTimeField(null=True, help_text="when the last point of its history was written")
    first_seen_at = models.DateTimeField(null=True, help_text="when it was first scored: changes of value are known since then")
    is_active = models.BooleanField(default=True, help_text="has a subscription that can be left")

    class Meta:
        indexes = [
            models.Index(fields=["-p90", "-value_reference_cents", "id"], name="churn_by_risk", condition=models.Q(is_active=True)),
            models.Index(fields=["band", "-value_reference_cents", "id"], name="churn_by_band", condition=models.Q(is_active=True)),
        ]

    def __str__(self) -> str:
        return f"{self.chargebee_customer_id} {self.p90:.0%}"


class ChurnHistory(Scored):
    """A score as it was, with its figures: what trends are read from and what models learn from. Written weekly, and when the score moved."""

    chargebee_customer_id = models.CharField(max_length=100)

    class Meta:
        indexes = [
            models.Index(fields=["chargebee_customer_id", "-scored_at"], name="churn_history_by_customer"),
            models.Index(fields=["scored_at"], name="churn_history_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.chargebee_customer_id} {self.scored_at:%Y-%m-%d} {self.p90:.0%}"


class ValueChange(models.Model):
    """A customer's MRR or seats were another number than at the score before. Known only since the customer was first scored."""

    MRR, SEATS = "mrr", "seats"

    chargebee_customer_id = models.CharField(max_length=100)
    at = models.DateTimeField(help_text="when it was seen")
    what = models.CharField(max_length=5, help_text="mrr (minor units) or seats")
    before = models.FloatField()
    after = models.FloatField()

    class Meta:
        indexes = [models.Index(fields=["chargebee_customer_id", "at"], name="value_change_by_customer")]

    def __str__(self) -> str:
        return f"{self.chargebee_customer_id} {self.what} {self.before:g} to {self.after:g}"


class Departure(models.Model):
    """A customer who had a subscription that could be left, and has none any more. What scores are held against, and learn from."""

    chargebee_customer_id = models.CharField(max_length=100)
    left_at = models.DateTimeField(help_text="when the last subscription ended")
    seen_at = models.DateTimeField(help_text="when it was seen")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chargebee_customer_id", "left_at"], name="one_departure_each")]
        indexes = [models.Index(fields=["left_at"], name="departure_by_time")]

    def __str__(self) -> str:
        return f"{self.chargebee_customer_id} {self.left_at:%Y-%m-%d}"


class ScoringRun(models.Model):
    """One night's scoring of everyone: a cursor that moves with each batch, in the batch's own transaction. Status: running → done | given_up."""

    RUNNING, DONE, GIVEN_UP = "running", "done", "given_up"

    id = models.UUIDField(primary_key=True, default=ids.new_id)
    night = models.DateField(unique=True, help_text="which night it is of")
    status = models.CharField(max_length=10, default=RUNNING)
    as_of = models.DateTimeField(help_text="the moment that all figures of this night are of")
    last_customer_id = models.CharField(max_length=100, blank=True, default="", help_text="everyone up to here is scored")
    customers = models.PositiveIntegerField(default=0, help_text="how many there are to score")
    done = models.PositiveIntegerField(default=0, help_text="how many are scored")
    batches = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    resumed = models.PositiveIntegerField(default=0, help_text="how often it went on after a crash")
    model_version = models.CharField(max_length=40, blank=True, default="")
    started_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    figures = models.JSONField(default=dict, blank=True, help_text="how many in each band, changes, proposals, what was left out")
    note = models.CharField(max_length=300, blank=True, default="")

    def __str__(self) -> str:
        return f"{self.night} {self.status} {self.done}/{self.customers}"


class SentScore(models.Model):
    """What one CRM was last given of one customer, as a mark that says whether it is still the same. `sent_scores` reads and writes it."""

    chargebee_customer_id = models.CharField(max_length=100)
    system = models.CharField(max_length=20, help_text="the CRM, as settings name it")
    mark = models.CharField(max_length=32)
    sent_at = models.DateTimeField(help_text="when the CRM took it")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chargebee_customer_id", "system"], name="one_sent_score_each")]

    def __str__(self) -> str:
        return f"{self.chargebee_customer_id} in {self.system}"


class PeerMedians(models.Model):
    """The median of each signal among the customers of one segment, of the last night."""

    segment = models.CharField(max_length=40, primary_key=True)
    customers = models.PositiveIntegerField()
    medians = models.JSONField(default=dict)
    computed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.segment} ({self.customers})"


class HealthWeighting(models.Model):
    """How much each part counts in health, from a day on. The newest row of the latest day that has come is in force."""

    billing = models.FloatField()
    support = models.FloatField()
    product = models.FloatField()
    effective_from = models.DateField()
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField(default=clock.now)
    reason = models.TextField(blank=True, default="")
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(billing__gte=0, support__gte=0, product__gte=0)
                & (models.Q(billing__gt=0) | models.Q(support__gt=0) | models.Q(product__gt=0)),
                name="health_weights_count",
            )
        ]

    def __str__(self) -> str:
        return f"{self.effective_from}: billing {self.billing:g}, support {self.support:g}, product {self.product:g}"


class ChurnSetting(models.Model):
    """What a lead may set: where the bands begin, the share held out, the base rate of the scorecard."""

    key = models.CharField(max_length=40, primary_key=True)
    value = models.JSONField()
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField(default=clock.now)
    reason = models.TextField(blank=True, default="")
    history = HistoricalRecords()

    def __str__(self) -> str:
        return self.key


class InterventionRule(models.Model):
    """When a customer of this segment is in one of these bands and has changed so: do this. The lowest rank that fits is taken."""

    ANY, WORSE, ENTERED = "any", "worse", "entered"

    key = models.CharField(max_length=40, unique=True)
    title = models.CharField(max_length=120)
    bands = models.JSONField(default=list, help_text="low, medium, high, critical")
    segments = models.JSONField(default=list, blank=True, help_text="empty: every segment")
    change = models.CharField(max_length=10, default=ENTERED, help_text="entered (the band is new), worse (p90 rising), or any")
    action = models.CharField(max_length=40, help_text="crm_task, call_task, alert or send_message")
    params = models.JSONField(default=dict, blank=True, help_text="subject, due_in_days, note; for a message: tone")
    cool_down_days = models.PositiveSmallIntegerField(default=30)
    rank = models.PositiveSmallIntegerField(default=100, help_text="lower is looked at first")
    is_enabled = models.BooleanField(default=True)
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField(default=clock.now)
    reason = models.TextField(blank=True, default="")
    history = HistoricalRecords()

    def __str__(self) -> str:
        return self.title


class Intervention(models.Model):
    """A rule fitted a customer: what was proposed, or would have been. `group` says whether the customer was to get it."""

    TREATED, HELD_OUT, OBSERVED = "treated", "held_out", "observed"

    chargebee_customer_id = models.CharField(max_length=100)
    rule_key = models.CharField(max_length=40)
    action = models.CharField(max_length=40)
    group = models.CharField(max_length=10, help_text="treated, held_out, or observed (phase observe: only counted)")
    band = models.CharField(max_length=10)
    segment = models.CharField(max_length=40, blank=True, default="")
    p90 = models.FloatField()
    at = models.DateTimeField(default=clock.now)
    cool_down_until = models.DateTimeField()
    run_id = models.UUIDField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["chargebee_customer_id", "-at"], name="intervention_by_customer"),
            models.Index(fields=["-at"], name="intervention_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.chargebee_customer_id} {self.rule_key} {self.group}"


class WatchFinding(models.Model):
    """What the watch saw at its last look: calibration, drift, share missing, by segment. One row each; `is_alert` when beyond its threshold."""

    kind = models.CharField(max_length=20, help_text="calibration, drift, scores")
    name = models.CharField(max_length=60, help_text="the signal, or the segment; everyone for the whole")
    model_version = models.CharField(max_length=40, blank=True, default="")
    value = models.FloatField(null=True)
    threshold = models.FloatField(null=True)
    figures = models.JSONField(default=dict, blank=True)
    words = models.CharField(max_length=400)
    is_alert = models.BooleanField(default=False)
    looked_at = models.DateTimeField(default=clock.now)
    alert_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="one_finding_each")]
        indexes = [models.Index(fields=["-looked_at"], name="finding_alerts", condition=models.Q(is_alert=True))]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class ModelFile(models.Model):
    """A learned model's bytes (JSON, never a pickle) under their own SHA-256. Never changed."""

    content_hash = models.CharField(max_length=64, primary_key=True)
    content = models.BinaryField()
    stored_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return self.content_hash[:12]
