"""Which of our values go into which field of which CRM: rows that a lead edits, with history."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import transaction

from approvals.models import CrmField
from approvals.people import Refused
from audit import ledger
from audit.actor import person
from billing_ai.kernel import clock, ids

if TYPE_CHECKING:
    from django.contrib.auth.models import User

VALUES: Final[dict[str, str]] = {
    "churn_30": "Chance of leaving within 30 days, percent",
    "churn_60": "Chance of leaving within 60 days, percent",
    "churn_90": "Chance of leaving within 90 days, percent",
    "churn_band": "Band: low, medium, high, critical",
    "churn_trend": "Trend: rising, steady, falling, new",
    "health": "Health, 0 to 100; empty where nothing is known",
    "why": "What raised the risk, in words",
    "scored_at": "When it was scored",
}
"""Every value that a push may hold, and what it is. None of them is personal data."""
SYSTEMS: Final = ("salesforce", "hubspot")
_NAMES: Final = {
    "salesforce": {key: f"Billing_{''.join(part.capitalize() for part in key.split('_'))}__c" for key in VALUES},
    "hubspot": {key: f"billing_{key}" for key in VALUES},
}
_FIELD = {"salesforce": re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}"), "hubspot": re.compile(r"[a-z][a-z0-9_]{0,79}")}
_KEPT_FOR_US = frozenset({"id", "name", "chargebee_customer_id__c", "chargebee_customer_id"})
"""Fields that a score never goes into: what the record is found by, and what it is called."""


def set_up() -> tuple[str, ...]:
    """The CRMs that the settings name."""
    return tuple(name for name, url in (("salesforce", settings.SALESFORCE_URL), ("hubspot", settings.HUBSPOT_URL)) if url)


def mapping(systems: tuple[str, ...] | None = None) -> dict[str, dict[str, str]]:
    """{CRM: {our key: its field}} as it holds now, for each CRM that is set up. A value that nobody has mapped has our package's name."""
    wanted = set_up() if systems is None else systems
    rows = {(row.system, row.ours): row for row in CrmField.objects.filter(system__in=wanted)}
    found: dict[str, dict[str, str]] = {}
    for system in wanted:
        fields = {}
        for ours, name in _NAMES[system].items():
            row = rows.get((system, ours))
            if row is None:
                fields[ours] = name
            elif row.is_enabled:
                fields[ours] = row.theirs
        found[system] = fields
    return found


def change_field(system: str, ours: str, user: User, *, theirs: str, is_enabled: bool, reason: str) -> CrmField:
    """Send a value into another field, or no longer at all. Raises Refused, and then nothing has changed."""
    if not (user.is_active and user.has_perm("approvals.change_rules")):
        raise Refused("needs_lead", "Only a lead may change what goes to the CRM.")
    if not reason.strip():
        raise Refused("reason_needed", "Say why.")
    if system not in SYSTEMS or ours not in VALUES:
        raise Refused("no_such_field", "There is no such value or CRM.")
    name = theirs.strip()
    if not _FIELD[system].fullmatch(name) or name.lower() in _KEPT_FOR_US:
        raise Refused("bad_values", f"“{name[:80]}” cannot be a field of {system.capitalize()} for a score. Give the field's API name.")
    with transaction.atomic():
        taken = [key for key, field in mapping((system,))[system].items() if field.lower() == name.lower() and key != ours]
        if is_enabled and taken:
            raise Refused("field_taken", f"“{VALUES[taken[0]]}” goes into {name} already.")
        row = CrmField.objects.select_for_update().filter(system=system, ours=ours).first()
        before = {"theirs": row.theirs, "is_enabled": row.is_enabled} if row else {"theirs": _NAMES[system][ours], "is_enabled": True}
        row = row or CrmField(system=system, ours=ours)
        row.theirs, row.is_enabled = name, is_enabled
        row.changed_by, row.changed_at, row.reason = user, clock.now(), reason.strip()[:2000]
        row._history_user = user  # type: ignore[attr-defined]  # simple-history reads it from the instance
        row._change_reason = reason.strip()[:100]  # type: ignore[attr-defined]
        row.save()
        ledger.append(
            "crm_field.changed",
            actor=person(user),
            trace_id=ids.new_trace_id(),
            subject=("crm_field", f"{system}:{ours}"),
            data={"before": before, "after": {"theirs": name, "is_enabled": is_enabled}, "reason": reason.strip()[:300]},
        )
        return row


def as_fields(values: Mapping[str, object], fields: Mapping[str, str]) -> dict[str, str | int | bool | None]:
    """One customer's values under the CRM's own names; what is not mapped stays here."""
    return {theirs: _plain(values[ours]) for ours, theirs in fields.items() if ours in values}


def _plain(value: object) -> str | int | bool | None:
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
