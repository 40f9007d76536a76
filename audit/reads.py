"""Who looked at which customer's personal data, and why."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from audit import ledger, seal
from audit.actor import Actor, current_trace_id, person
from audit.models import PersonalDataRead
from billing_ai.kernel import clock
from billing_ai.kernel.ids import new_trace_id


def note_personal_read(who: AbstractBaseUser | Actor, customer_id: str, what: str, why: str, *, opened: seal.Opened | None = None) -> int:
    """Write down that `who` is about to see `what` (a field or page, never its content), and give the row's id.

    Call it before showing: what could not be written down is not shown. `why` is free text and kept sealed under the customer's key, empty
    once that customer is erased; `opened` is that key, when the caller has read it. Raises ValueError without a reason.
    """
    if not why.strip():
        raise ValueError("a read of personal data needs a reason")
    reader = who if isinstance(who, Actor) else person(who)
    trace_id = current_trace_id() or new_trace_id()
    with transaction.atomic():
        try:
            sealed = opened.seal(why) if opened is not None else seal.seal(customer_id, why)
        except seal.Erased:
            sealed = b""
        read = PersonalDataRead.objects.create(
            at=clock.now(),
            user_id=reader.id,
            user_label=reader.label,
            chargebee_customer_id=customer_id,
            what=what,
            why_sealed=sealed,
            trace_id=trace_id,
        )
        ledger.append(
            "personal_data.read",
            actor=reader,
            trace_id=trace_id,
            subject=("personal_data_read", str(read.pk)),
            customer_id=customer_id,
            data={"what": what},
        )
    return read.pk


def reason(read: PersonalDataRead) -> str:
    """Why that colleague looked. Raises seal.Erased once the customer is erased."""
    if not read.why_sealed:
        raise seal.Erased(f"customer {read.chargebee_customer_id} was erased before this read")
    return seal.unseal(read.chargebee_customer_id, read.why_sealed)
