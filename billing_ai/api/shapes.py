"""What is answered: the documented shapes. An answer is always made through one of these, so nothing undocumented gets out."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agents.churn.models import ChurnScore
from billing_ai.api.changes import KINDS
from billing_ai.api.fields import Moment

_Base = serializers.Serializer[Any]


class FieldErrorOut(_Base):
    """Which field, and what is wrong with it."""

    field = serializers.CharField(help_text="dotted path, such as events.0.quantity; empty: the whole body", allow_blank=True)
    code = serializers.CharField()
    message = serializers.CharField()


class ProblemOut(_Base):
    """An error, as RFC 9457 has it. `code` is stable; `detail` is for people."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    trace_id = serializers.CharField()
    errors = FieldErrorOut(many=True)  # type: ignore[assignment]  # a field of this name, not DRF's attribute


class MeOut(_Base):
    """Whose token this is."""

    client = serializers.CharField()
    token_id = serializers.UUIDField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field of this name, not DRF's attribute
    scopes = serializers.ListField(child=serializers.CharField())
    may_act_as = serializers.ListField(child=serializers.CharField())
    rate_per_minute = serializers.IntegerField()
    expires_at = Moment()


class ReasonOut(_Base):
    """Why, in words without names. A positive weight raised it, a negative one lowered it."""

    code = serializers.CharField(allow_blank=True)
    sentence = serializers.CharField(allow_blank=True)
    weight = serializers.FloatField()


class ScoreReasonOut(_Base):
    """One signal behind a score, against the customer's own past and customers like it. What is not known is null."""

    signal = serializers.CharField()
    sentence = serializers.CharField()
    unit = serializers.CharField(allow_blank=True)
    value = serializers.FloatField(allow_null=True)
    before = serializers.FloatField(allow_null=True)
    peers = serializers.FloatField(allow_null=True)


class ScoreOut(_Base):
    """The newest scores. The chances of leaving are between 0 and 1, health and its parts between 0 and 100; null: nothing is known."""

    scored_at = Moment()
    churn_30_days = serializers.FloatField()
    churn_60_days = serializers.FloatField()
    churn_90_days = serializers.FloatField()
    churn_90_days_a_month_ago = serializers.FloatField(allow_null=True)
    health = serializers.FloatField(allow_null=True)
    health_billing = serializers.FloatField(allow_null=True)
    health_support = serializers.FloatField(allow_null=True)
    health_product = serializers.FloatField(allow_null=True)
    band = serializers.ChoiceField(choices=ChurnScore.BANDS)
    trend = serializers.ChoiceField(
        choices=ChurnScore.TRENDS, help_text="of the 90-day chance against a month ago; new: no past to compare with"
    )
    segment = serializers.CharField(allow_blank=True)
    raised_by = ScoreReasonOut(many=True)
    lowered_by = ScoreReasonOut(many=True)
    unknown = serializers.ListField(
        child=serializers.CharField(), help_text="signals of which nothing is known; they count as missing, not as zero"
    )
    model = serializers.CharField()
    origin = serializers.CharField(help_text="where the score comes from, in a sentence")


class CrmLinkOut(_Base):
    """The customer in a CRM, as this client told it."""

    system = serializers.CharField()
    crm_id = serializers.CharField()
    owner = serializers.CharField(allow_blank=True)
    tier = serializers.CharField(allow_blank=True)
    updated_at = Moment()


class OpenCaseOut(_Base):
    """A case that is being worked on."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    status = serializers.CharField()
    invoice_id = serializers.CharField()
    amount_due_minor = serializers.IntegerField()
    currency = serializers.CharField()
    next_action = serializers.CharField(allow_blank=True)


class CustomerOut(_Base):
    """A customer: ids and derived values, no name and no address."""

    id = serializers.CharField(help_text="Chargebee's id")
    business_entity_id = serializers.CharField(allow_blank=True)
    country = serializers.CharField(allow_blank=True)
    tier = serializers.CharField(allow_blank=True)
    customer_since = Moment(allow_null=True)
    crm = CrmLinkOut(many=True)
    score = ScoreOut(allow_null=True, help_text="null: not scored yet")
    open_cases = OpenCaseOut(many=True)
    next_action = serializers.CharField(allow_null=True, help_text="of the open case with the most at stake; null: nothing is to be done")


class CustomerPage(_Base):
    """Some customers, in the order of their ids."""

    items = CustomerOut(many=True)
    next_cursor = serializers.CharField(allow_null=True, help_text="null: this was the last page")


class DecisionOut(_Base):
    """What a person or a policy decided."""

    kind = serializers.CharField()
    by = serializers.CharField(help_text="a user name, or policy:<name>")
    role = serializers.CharField(allow_blank=True)
    reason_code = serializers.CharField(allow_blank=True)
    at = Moment()


class ExecutionOut(_Base):
    """What became of it."""

    status = serializers.CharField()
    not_before = Moment()
    finished_at = Moment(allow_null=True)


class WordsOut(_Base):
    """The text of a message, with slots in place of facts."""

    channel = serializers.CharField()
    language = serializers.CharField()
    subject = serializers.CharField(allow_blank=True)
    body = serializers.CharField(allow_blank=True)


class CheckOut(_Base):
    """What one rule said when the proposal was last judged: allow, person, wait or deny."""

    rule = serializers.CharField(help_text="`words.origin` says whose words a message is in")
    outcome = serializers.CharField()
    sentence = serializers.CharField()


class ProposalOut(_Base):
    """One thing that would be done outside. `content_hash` and `facts_hash` are what an approval has to carry."""

    id = serializers.UUIDField()
    case_id = serializers.UUIDField()
    customer_id = serializers.CharField()
    invoice_id = serializers.CharField()
    agent = serializers.CharField()
    action = serializers.CharField()
    step = serializers.CharField()
    status = serializers.CharField()
    amount_minor = serializers.IntegerField()
    currency = serializers.CharField()
    role_needed = serializers.CharField()
    approvals_needed = serializers.IntegerField()
    content_hash = serializers.CharField(allow_blank=True)
    facts_hash = serializers.CharField()
    words = WordsOut(
        allow_null=True, help_text="null: an action without words, words that were erased, or a token without the scope words:read"
    )
    reasons = ReasonOut(many=True)
    checks = CheckOut(many=True)
    decisions = DecisionOut(many=True)
    execution = ExecutionOut(allow_null=True)
    created_at = Moment()
    expires_at = Moment()
    finished_at = Moment(allow_null=True)


class ProposalPage(_Base):
    """Some proposals, oldest first."""

    items = ProposalOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class OutcomeOut(_Base):
    """Money that came in, and which step is credited with it."""

    kind = serializers.CharField()
    credited_to = serializers.CharField()
    recovered_minor = serializers.IntegerField()
    currency = serializers.CharField()
    happened_at = Moment()


class PromiseOut(_Base):
    """A promise to pay."""

    id = serializers.IntegerField()
    amount_minor = serializers.IntegerField()
    currency = serializers.CharField()
    due_on = serializers.DateField()
    status = serializers.CharField()


class CaseOut(_Base):
    """All about one unpaid invoice."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    agent = serializers.CharField()
    status = serializers.CharField()
    customer_id = serializers.CharField()
    invoice_id = serializers.CharField()
    amount_due_minor = serializers.IntegerField()
    recovered_minor = serializers.IntegerField()
    currency = serializers.CharField()
    due_on = serializers.DateField(allow_null=True)
    category = serializers.CharField(allow_blank=True)
    headline = serializers.CharField(allow_blank=True)
    next_action = serializers.CharField(allow_blank=True)
    likelihood = serializers.FloatField(help_text="that it comes in, between 0 and 1")
    reasons = ReasonOut(many=True)
    escalated_to_lead = serializers.BooleanField()
    broken_promise = serializers.BooleanField()
    snoozed_until = Moment(allow_null=True)
    opened_at = Moment()
    closed_at = Moment(allow_null=True)
    proposal_ids = serializers.ListField(child=serializers.UUIDField())
    promises = PromiseOut(many=True)
    outcomes = OutcomeOut(many=True)


class CasePage(_Base):
    """Some cases, oldest first."""

    items = CaseOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ChangeOut(_Base):
    """One line of the feed. `data` holds ids and derived values."""

    id = serializers.CharField(help_text="the same in the feed and in webhooks")
    kind = serializers.ChoiceField(choices=KINDS)
    happened_at = Moment()
    cursor = serializers.CharField(help_text="where to go on after this line")
    data = serializers.DictField()  # type: ignore[assignment]  # a field of this name, not DRF's attribute


class ChangePage(_Base):
    """Some changes, oldest first. Keep `next_cursor` and ask again with it; it is never null."""

    items = ChangeOut(many=True)
    next_cursor = serializers.CharField()
    has_more = serializers.BooleanField()


class ItemOut(_Base):
    """What became of one item of a batch."""

    index = serializers.IntegerField(help_text="its place in the batch, from 0")
    id = serializers.CharField(allow_null=True, help_text="its id, where it could be read")
    status = serializers.ChoiceField(
        choices=("stored", "waiting", "known", "refused"),
        help_text="waiting: its customer is not known yet; it is stored, and parked with a reason after 72 hours. known: it came before",
    )
    errors = FieldErrorOut(many=True)  # type: ignore[assignment]  # a field of this name, not DRF's attribute


class BatchOut(_Base):
    """What became of a batch. Answered with 200 when nothing was refused and with 207 when something was; the rest is kept either way."""

    stored = serializers.IntegerField()
    waiting = serializers.IntegerField()
    known = serializers.IntegerField()
    refused = serializers.IntegerField()
    items = ItemOut(many=True)


class ConsentOut(_Base):
    """The word that counts now."""

    customer_id = serializers.CharField()
    channel = serializers.CharField()
    granted = serializers.BooleanField()
    source = serializers.CharField()  # type: ignore[assignment]  # a field of this name, not DRF's attribute
    recorded_at = Moment()


class WebhookEndpointOut(_Base):
    """An address that is called."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    kinds = serializers.ListField(child=serializers.CharField())
    is_active = serializers.BooleanField()
    stopped_reason = serializers.CharField(allow_blank=True)
    created_at = Moment()


class WebhookEndpointMade(WebhookEndpointOut):
    """A new endpoint with its secret, which is shown this once."""

    secret = serializers.CharField()


class WebhookEndpointList(_Base):
    """All endpoints of this client."""

    items = WebhookEndpointOut(many=True)


class SecretOut(_Base):
    """A new signing secret, shown this once. The old one signs as well until `old_until`."""

    secret = serializers.CharField()
    old_until = Moment()


class DeliveryOut(_Base):
    """One change told to one endpoint."""

    id = serializers.UUIDField()
    change_id = serializers.CharField()
    kind = serializers.CharField()
    status = serializers.CharField(help_text="waiting, leased, done, parked or dropped")
    attempts = serializers.IntegerField()
    last_status = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    next_at = Moment(allow_null=True)
    delivered_at = Moment(allow_null=True)


class DeliveryPage(_Base):
    """Some deliveries, newest first."""

    items = DeliveryOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ReplayOut(_Base):
    """How many wait to be sent again."""

    replayed = serializers.IntegerField()
