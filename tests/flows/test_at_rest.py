"""No raw billing data at rest: after the whole job has run, no table holds a name, an address, a card's digits or a payload."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.db import connection

from approvals import transitions
from approvals.drafts.slots import SLOTS
from tests.flows.conftest import World

MASKED = re.compile(r"[*•x]{4,}[ -]?\d{4}\b")
RAW = ("masked_number", "masked_card_number", "last4", '"iin"', "billing_address", "line1", "first_name", "last_name", "api_version")
"""Keys of Chargebee's own objects: one of them in a table means that a payload was kept."""
ADDRESS = re.compile(r"(?<![<\w.+-])[\w.+-]+@[\w-]+\.[a-z]{2,}")
"""A mail address; a Message-ID of ours stands in angle brackets."""
_SLOT_NAMES = re.compile(r"\b(" + "|".join(re.escape(name) for name in sorted(SLOTS, key=len, reverse=True)) + r")\b")


def stored() -> Iterator[tuple[str, str]]:
    """Every value of every table, as text, with the table it stands in."""
    with connection.cursor() as cursor:
        for table in set(connection.introspection.table_names(cursor)) - {"django_migrations"}:  # file names, some with a field's in them
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                for value in row:
                    yield table, bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


def without_slots(value: str) -> str:
    """The value without the names of our own slots (`card.last4`), which stand in drafts and in what a draft was composed for."""
    return _SLOT_NAMES.sub("", value)


def personal(customer: dict[str, Any]) -> set[str]:
    """What names this customer, where it is long enough not to turn up by chance."""
    address = customer.get("billing_address") or {}
    named = [customer.get(name) for name in ("email", "phone", "last_name", "company")] + [address.get("line1"), address.get("zip")]
    return {str(one) for one in named if one and len(str(one)) >= 5}


def holds(value: str, word: str) -> bool:
    """Whether the word is in there; digits alone only as a whole, since the five of a postcode turn up in any long hash."""
    return word in value and (not word.isdigit() or re.search(rf"(?<!\w){word}(?!\w)", value) is not None)


def test_nothing_raw_is_kept_after_the_whole_job(world: World) -> None:
    # given a message that was edited and sent, and a comment
    customer = world.customer("de")
    invoice_id = world.fail(customer, "insufficient_funds")
    world.hear()
    message = world.proposal(invoice_id, "send_message")
    assert message.current is not None
    transitions.edit(
        message.pk,
        world.people["specialist"],
        base_revision_id=message.current.pk,
        subject="Zahlung der Rechnung {{ invoice.number }}",
        body="Guten Tag {{ customer.first_name }},\n\ndie Zahlung von {{ invoice.amount_due }} kam nicht an.\n\n{{ links.pay }}",
    )
    for action in ("send_message", "add_comment"):
        world.approve(world.proposal(invoice_id, action))
    world.act()
    (mail,) = world.mail_to(customer)
    assert customer["first_name"] in mail["text"]
    assert set(world.case(invoice_id).proposals.filter(status="done").values_list("action", flat=True)) == {"send_message", "add_comment"}
    # when everything that is stored is read
    values = list(stored())
    words = personal(customer)
    assert len(words) >= 4
    # then nothing of the customer's is there in the clear, nor a piece of a payload
    assert {(table, word) for table, value in values for word in words if holds(value, word)} == set()
    assert {(table, key) for table, value in values for key in RAW if key in without_slots(value)} == set()
    assert all(key in without_slots(f'{{"{key}": 1}}') for key in ("last4", "first_name"))
    assert {(table, value[:80]) for table, value in values if ADDRESS.search(value)} == set()
    assert [(table, value[:80]) for table, value in values if MASKED.search(value)] == []
    # and the same look does find what is kept
    assert any(invoice_id in value for _, value in values)
