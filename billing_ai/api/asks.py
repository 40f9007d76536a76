"""What may be sent: the request bodies."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from approvals.policy.consent import CHANNELS
from approvals.transitions import REJECT_REASONS
from billing_ai.api.changes import WEBHOOK_KINDS
from billing_ai.api.fields import Choice, Day, Moment, Pattern, Quantity, Strict, Text, Uuid, Whole, Yes
from billing_ai.signals.models import SYSTEMS, ExternalTicket, ReplyNote

LONGEST_TEXT = 20_000
MOST_ITEMS = 500
CRM_SYSTEMS = tuple(system for system in SYSTEMS if system != "chargebee")


class LongText(Text):
    """What a person wrote. Too long is an impossible value, named like the others."""

    default_error_messages = {"impossible_length": f"At most {LONGEST_TEXT} characters."}

    def to_internal_value(self, data: Any) -> str:
        if isinstance(data, str) and len(data) > LONGEST_TEXT:
            self.fail("impossible_length")
        return super().to_internal_value(data)


class CustomerRef(Strict):
    """A customer, named by Chargebee's id or by the id that it has in a CRM."""

    system = Choice(choices=SYSTEMS, default="chargebee", help_text="whose id it is")
    id = Text(max_length=100, help_text="the customer's id in that system")


class UsageEventIn(Strict):
    """The product was used."""

    id = Text(max_length=200, help_text="your own id of the event: the same id is stored once")
    customer = CustomerRef()
    name = Text(max_length=80, help_text="login, report.exported, api.call …")
    quantity = Quantity(required=False, help_text="how much; 1 when absent")
    unit = Text(max_length=40, required=False, allow_blank=True, help_text="calls, GB, minutes …")
    occurred_at = Moment(past=True, help_text="when; not in the future")
    subscription_id = Text(max_length=100, required=False, allow_blank=True, help_text="Chargebee's, where you know it")


class TicketIn(Strict):
    """A ticket as it is now. Of two tellings of one ticket the one with the later `changed_at` counts."""

    id = Text(max_length=200)
    customer = CustomerRef()
    status = Choice(choices=ExternalTicket.STATES)
    priority = Choice(choices=ExternalTicket.PRIORITIES, required=False)
    tone = Choice(choices=[tone for tone in ExternalTicket.TONES if tone], required=False)
    subject = LongText(required=False, allow_blank=True, help_text=f"at most {LONGEST_TEXT} characters; kept sealed")
    opened_at = Moment(past=True)
    changed_at = Moment(past=True)
    solved_at = Moment(past=True, required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["changed_at"] < attrs["opened_at"]:
            raise serializers.ValidationError({"changed_at": serializers.ErrorDetail("It lies before opened_at.", "impossible_order")})
        return attrs


class NoteIn(Strict):
    """What a colleague wrote down in the CRM."""

    id = Text(max_length=200)
    customer = CustomerRef()
    text = LongText(help_text=f"at most {LONGEST_TEXT} characters; kept sealed")
    author = Text(max_length=100, required=False, allow_blank=True, help_text="the author's id in your system, not a name")
    written_at = Moment(past=True)
    case_id = Uuid(required=False, allow_null=True)


class ReplyIn(NoteIn):
    """What a customer answered. A text message that is nothing but STOP also withdraws the consent to text messages."""

    channel = Choice(choices=[channel for channel in ReplyNote.CHANNELS if channel])


class CrmLinkIn(Strict):
    """Who owns a customer in the CRM, and its tier there."""

    crm_id = Text(max_length=200)
    owner = Text(max_length=100, required=False, allow_blank=True, help_text="the owner's id in the CRM, not a name")
    tier = Text(max_length=40, required=False, allow_blank=True)


class CrmLinkItemIn(CrmLinkIn):
    """A link in a batch."""

    customer_id = Text(max_length=100, help_text="Chargebee's id")
    system = Choice(choices=CRM_SYSTEMS)


class Batch(Strict):
    """A batch whose items are looked at one by one, so that a wrong one does not cost the others."""

    item: type[Strict]


class UsageBatch(Batch):
    """Up to 500 usage events."""

    item = UsageEventIn
    events = serializers.ListField(child=UsageEventIn(), min_length=1, max_length=MOST_ITEMS)


class TicketBatch(Batch):
    """Up to 500 tickets."""

    item = TicketIn
    tickets = serializers.ListField(child=TicketIn(), min_length=1, max_length=MOST_ITEMS)


class NoteBatch(Batch):
    """Up to 500 notes."""

    item = NoteIn
    notes = serializers.ListField(child=NoteIn(), min_length=1, max_length=MOST_ITEMS)


class ReplyBatch(Batch):
    """Up to 500 replies."""

    item = ReplyIn
    replies = serializers.ListField(child=ReplyIn(), min_length=1, max_length=MOST_ITEMS)


class CrmLinkBatch(Batch):
    """Up to 500 links."""

    item = CrmLinkItemIn
    links = serializers.ListField(child=CrmLinkItemIn(), min_length=1, max_length=MOST_ITEMS)


class ConsentIn(Strict):
    """What the customer allows on one channel, in the customer's own word."""

    channel = Choice(choices=CHANNELS)
    granted = Yes()
    said_at = Moment(
        past=True, required=False, help_text="when the customer said so; now when absent. An older word than the one known changes nothing"
    )


class ApproveIn(Strict):
    """Exactly what was seen: both hashes come with the proposal."""

    content_hash = Pattern(r"^[0-9a-f]{64}$")
    facts_hash = Pattern(r"^[0-9a-f]{64}$")
    note = Text(max_length=2000, required=False, allow_blank=True)


class RejectIn(Strict):
    """No, and why. An instruction has the agent draft again."""

    reason_code = Choice(choices=sorted(REJECT_REASONS))
    note = Text(max_length=2000, required=False, allow_blank=True)
    instruction = Text(max_length=500, required=False, allow_blank=True)


class SnoozeIn(Strict):
    """Take the case out of the queue until a moment."""

    until = Moment()
    note = Text(max_length=2000, required=False, allow_blank=True)


class PromiseIn(Strict):
    """The customer promises to pay so much by a day."""

    amount_minor = Whole(min_value=1, max_value=10**15, help_text="in the currency's minor units")
    currency = Pattern(r"^[A-Z]{3}$")
    due_on = Day()


class WebhookEndpointIn(Strict):
    """Where to call, and for what."""

    url = Text(max_length=500, help_text="https://…")
    kinds = serializers.ListField(child=Choice(choices=WEBHOOK_KINDS), min_length=1, max_length=20)


class ReplayIn(Strict):
    """Which deliveries to send again: all of changes since a moment."""

    since = Moment()
