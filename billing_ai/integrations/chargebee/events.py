"""What a Chargebee event says, read from an envelope that nobody has vouched for. It only says where to look; nothing of its content is kept.

Light on purpose: the webhook view runs this in the request, so it imports neither the SDK nor httpx.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing_ai.kernel import clock

HANDLED: Mapping[str, tuple[str, ...]] = {
    "payment_failed": ("customer", "subscription", "invoice", "transaction"),
    "payment_succeeded": ("customer", "subscription", "invoice", "transaction"),
    "payment_initiated": ("invoice", "transaction"),
    "payment_refunded": ("customer", "invoice", "transaction", "credit_note"),
    "invoice_generated": ("customer", "subscription", "invoice"),
    "invoice_updated": ("invoice",),
    "dunning_updated": ("invoice",),
    "subscription_changed": ("customer", "subscription"),
    "subscription_cancelled": ("customer", "subscription", "invoice"),
    "subscription_canceled_with_backdating": ("customer", "subscription", "invoice"),
    "subscription_cancellation_scheduled": ("customer", "subscription"),
    "subscription_paused": ("customer", "subscription"),
    "subscription_resumed": ("customer", "subscription"),
    "card_expiry_reminder": ("customer", "payment_source"),
    "card_added": ("customer", "payment_source"),
    "card_updated": ("customer", "payment_source"),
    "payment_source_expiring": ("customer", "payment_source"),
    "payment_source_expired": ("customer", "payment_source"),
    "payment_source_added": ("customer", "payment_source"),
    "payment_source_updated": ("customer", "payment_source"),
    "credit_note_created": ("invoice", "credit_note"),
    "customer_changed": ("customer",),
    "customer_deleted": ("customer",),
}
"""Each event type that something here acts on, and the kinds of resource to fetch anew when it comes."""

_PLURALS: Mapping[str, str] = {
    "subscriptions": "subscription",
    "invoices": "invoice",
    "transactions": "transaction",
    "credit_notes": "credit_note",
    "unbilled_charges": "unbilled_charge",
    "customers": "customer",
    "cards": "card",
    "payment_sources": "payment_source",
}
_KIND_OF: Mapping[str, str] = {"card": "payment_source"}
_ID_FIELD: Mapping[str, str] = {"card": "payment_source_id"}
_MOST_RESOURCES = 500
_LONGEST_ID = 100
_TEST_PREFIX = "cbdemo_"


class ForeignShape(ValueError):
    """This is no Chargebee event. The text says what is wrong with it, for a person to read; it repeats nothing of the content."""


@dataclass(frozen=True, slots=True)
class ResourceRef:
    """One resource that an event names. `version` is Chargebee's `resource_version` in milliseconds, None where it gave none."""

    kind: str
    id: str
    version: int | None


@dataclass(frozen=True, slots=True)
class EventEnvelope:
    """What is kept of an event: its own id, type and times, and which resources to look at. Source: the webhook's body or `Event.list`."""

    id: str
    event_type: str
    occurred_at: datetime | None
    """None when the event gave no readable time."""
    api_version: str
    source: str
    resources: tuple[ResourceRef, ...]
    customer_id: str | None
    oddities: tuple[str, ...] = ()
    """Names of fields that were there in a form that could not be read, for whoever looks into it. No values."""

    @property
    def is_handled(self) -> bool:
        """True when something here acts on this type of event."""
        return self.event_type in HANDLED

    @property
    def is_test(self) -> bool:
        """True for what Chargebee's "Test Webhook" button sends; its resources do not exist."""
        return self.id.startswith(_TEST_PREFIX)

    def ids_of(self, kind: str) -> tuple[str, ...]:
        """The ids of the named resources of one kind, in the order in which they came."""
        return tuple(resource.id for resource in self.resources if resource.kind == kind)

    def version_of(self, kind: str, resource_id: str) -> int | None:
        """The version that the event gives for one resource, or None."""
        return next((r.version for r in self.resources if r.kind == kind and r.id == resource_id), None)


def parse_event(raw: object) -> EventEnvelope:
    """Read an envelope. Missing, extra and oddly typed fields are passed over and named in `oddities`.

    Raises ForeignShape when it is no Chargebee event: not an object, no usable `id`, no usable `event_type`, or an `object` other than "event".
    """
    if not isinstance(raw, Mapping):
        raise ForeignShape("The body is not a JSON object, as an event of Chargebee is.")
    declared = raw.get("object")
    if declared is not None and declared != "event":
        raise ForeignShape('The field "object" does not say "event".')
    event_id = _identifier(raw.get("id"))
    if event_id is None:
        raise ForeignShape('The field "id" is missing, or is no id as Chargebee makes them.')
    event_type = raw.get("event_type")
    if not isinstance(event_type, str) or not _is_plain_name(event_type):
        raise ForeignShape('The field "event_type" is missing, or is no name of an event.')
    oddities: list[str] = []
    content = raw.get("content")
    if not isinstance(content, Mapping):
        oddities.append("content")
        content = {}
    found = list(_resources(content, oddities))
    return EventEnvelope(
        id=event_id,
        event_type=event_type,
        occurred_at=_moment(raw.get("occurred_at"), oddities),
        api_version=_short_text(raw.get("api_version")) or "v2",
        source=_short_text(raw.get("source")),
        resources=_distinct_resources(found),
        customer_id=_customer_id(found),
        oddities=tuple(dict.fromkeys(oddities)),
    )


_Found = tuple[str, Mapping[str, Any]]


def _resources(content: Mapping[Any, Any], oddities: list[str]) -> Iterator[_Found]:
    """(kind, body) of each resource in an event's content, single or in a list."""
    count = 0
    for name, value in content.items():
        if not _is_plain_name(name):
            oddities.append("content holds a field whose name is none of Chargebee's")
            continue
        kind = _PLURALS.get(name, name)
        for body in value if isinstance(value, list) else [value]:
            if not isinstance(body, Mapping):
                if value is not None:
                    oddities.append(f"content.{name[:40]}")
                continue
            count += 1
            if count > _MOST_RESOURCES:
                oddities.append("content holds more resources than are read")
                return
            yield kind, body


def _distinct_resources(found: list[_Found]) -> tuple[ResourceRef, ...]:
    refs: dict[tuple[str, str], ResourceRef] = {}
    for kind, body in found:
        resource_id = _identifier(body.get(_ID_FIELD.get(kind, "id")))
        if resource_id is None:
            continue
        ref = ResourceRef(_KIND_OF.get(kind, kind), resource_id, _version(body.get("resource_version")))
        known = refs.get((ref.kind, ref.id))
        if known is None or (known.version or 0) < (ref.version or 0):
            refs[(ref.kind, ref.id)] = ref
    return tuple(refs.values())


def _customer_id(found: list[_Found]) -> str | None:
    for kind, body in found:
        if kind == "customer" and (customer_id := _identifier(body.get("id"))):
            return customer_id
    for _kind, body in found:
        if customer_id := _identifier(body.get("customer_id")):
            return customer_id
    return None


def _identifier(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable() and value == value.strip():
        return value
    return None


def _is_plain_name(text: str) -> bool:
    """Event types and kinds of resource look like this; anything else would not fit the database's text either (NUL, half characters)."""
    return 0 < len(text) <= _LONGEST_ID and text.isascii() and text.replace("_", "").isalnum() and text == text.lower()


def _short_text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= 40 and value.isprintable() else ""


def _whole_number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    return None


def _version(value: object) -> int | None:
    number = _whole_number(value)
    return number if number is not None and 0 <= number < 2**63 else None


def _moment(value: object, oddities: list[str]) -> datetime | None:
    number = _whole_number(value)
    if number is not None and number > 0:
        try:
            return clock.from_seconds(number)
        except (ValueError, OverflowError, OSError):
            pass
    oddities.append("occurred_at")
    return None
