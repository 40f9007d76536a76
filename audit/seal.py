"""Words that belong to a customer, sealed under that customer's own key. Dropping the key erases the words and leaves the chain whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction

from audit import keys, ledger
from audit.actor import Actor, current_trace_id
from audit.models import CustomerKey, RetiredSecret
from billing_ai.kernel import clock
from billing_ai.kernel.ids import new_trace_id

ERASURE_REASONS = ("customer_request", "retention", "contract_end", "entered_in_error")
"""Why a customer may be erased. A closed list, because free text could name the very person who is erased."""

Eraser = Callable[[str], object]
_erasers: dict[str, Eraser] = {}

_BATCH = 500


DROPPED = b""
"""What stands in place of sealed words that are kept no longer, so that nobody takes them for words that never were."""


class Erased(Exception):
    """The customer's key was dropped: nothing sealed for them can be read or written any more."""


class KeptNoLonger(Erased):
    """These words were dropped once their time was over; the customer's key may well be there."""


def register_eraser(name: str, erase: Eraser) -> None:
    """Let `erase(customer_id)` blank what a floor above keeps in the open, in the transaction that drops the key. Call it from an app's `ready`."""
    _erasers[name] = erase


def seal(customer_id: str, text: str) -> bytes:
    """`text` under the customer's key (made on first use), bound to that customer. Raises Erased, MasterKeyMissing."""
    return keys.encrypt(_key_for_sealing(customer_id), text.encode(), _bound(customer_id))


def unseal(customer_id: str, blob: bytes | memoryview) -> str:
    """The text that was sealed for this customer. Raises Erased, Forged (changed, or another customer's), MasterKeyMissing."""
    row = CustomerKey.objects.filter(pk=customer_id).first()
    if row is None:
        raise keys.Forged(f"nothing was ever sealed for customer {customer_id}")
    return keys.decrypt(_unwrapped(row), blob, _bound(customer_id)).decode()


@dataclass(frozen=True, slots=True)
class Opened:
    """A customer's key as it was read once, for several texts of theirs within one request. Keep it no longer: an erasure drops the key."""

    customer_id: str
    row: CustomerKey | None

    def seal(self, text: str) -> bytes:
        """As `seal`, with the key that was read; a first key is made."""
        if self.row is None or self.row.pk != self.customer_id:
            return seal(self.customer_id, text)
        return keys.encrypt(_unwrapped(self.row), text.encode(), _bound(self.customer_id))

    def unseal(self, blob: bytes | memoryview) -> str:
        """As `unseal`, with the key that was read."""
        if self.row is None or self.row.pk != self.customer_id:
            raise keys.Forged(f"nothing was ever sealed for customer {self.customer_id}")
        return keys.decrypt(_unwrapped(self.row), blob, _bound(self.customer_id)).decode()


def opened_for_sealing(customer_id: str, row: CustomerKey | None) -> Opened:
    """The customer's key as it was read just now, or a first one made in the caller's transaction. Raises ValueError without a customer."""
    return Opened(customer_id, row if row is not None else _made(customer_id))


def is_erased(customer_id: str) -> bool:
    """Whether the customer's words are gone for good."""
    return CustomerKey.objects.filter(pk=customer_id, erased_at__isnull=False).exists()


def erase_customer(customer_id: str, actor: Actor, reason: str) -> bool:
    """Drop the customer's key, blank what colleagues wrote about them in the open, and write that down; False when it was dropped before, and then nothing is written.

    Raises ValueError for a reason outside `ERASURE_REASONS`. Backups made earlier still hold the wrapped key until they expire.
    """
    if reason not in ERASURE_REASONS:
        raise ValueError(f"reason {reason!r} is none of {', '.join(ERASURE_REASONS)}")
    if not customer_id:
        raise ValueError("no customer id")
    now = clock.now()
    with transaction.atomic():
        # A customer for whom nothing was sealed yet gets a row too: nothing may be sealed for them later.
        CustomerKey.objects.bulk_create([CustomerKey(pk=customer_id, wrapped=b"", created_at=now)], ignore_conflicts=True)
        row = CustomerKey.objects.select_for_update().get(pk=customer_id)
        if row.erased_at is not None:
            return False
        row.wrapped, row.wrapped_by, row.erased_at = b"", "", now
        row.save(update_fields=["wrapped", "wrapped_by", "erased_at"])
        for erase in _erasers.values():
            erase(customer_id)
        ledger.append(
            "customer.erased",
            actor=actor,
            trace_id=current_trace_id() or new_trace_id(),
            subject=("customer", customer_id),
            customer_id=customer_id,
            data={"reason": reason},
        )
    return True


def rotate_master_key(actor: Actor) -> int:
    """Wrap every key anew under the present master key, in batches, while work goes on. Gives how many were wrapped.

    Afterwards MASTER_KEYS_OLD may be emptied: the old keys' audit secrets are kept, so old marks and signatures stay checkable.
    Raises MasterKeyMissing when a key hangs from a master that the settings do not hold; what was wrapped until then stays valid.
    """
    present = keys.fingerprint(settings.MASTER_KEY)
    moved = _rewrap_retired(present)
    while batch := list(CustomerKey.objects.filter(erased_at__isnull=True).exclude(wrapped_by=present).order_by("pk")[:_BATCH]):
        for row in batch:
            wrapped, wrapped_by = keys.wrap(_unwrapped(row), row.pk)
            # Guarded by the old fingerprint and by "not erased": an erasure that happens meanwhile stays an erasure.
            moved += CustomerKey.objects.filter(pk=row.pk, wrapped_by=row.wrapped_by, erased_at__isnull=True).update(
                wrapped=wrapped, wrapped_by=wrapped_by
            )
    with transaction.atomic():
        ledger.append(
            "master_key.rotated",
            actor=actor,
            trace_id=current_trace_id() or new_trace_id(),
            subject=("master_key", present),
            data={"keys_wrapped": moved},
        )
    return moved


def _rewrap_retired(present: str) -> int:
    for name, master in list(keys.masters().items())[1:]:
        wrapped, wrapped_by = keys.wrap(keys.audit_secret(master), f"retired:{name}")
        RetiredSecret.objects.bulk_create(
            [RetiredSecret(fingerprint=name, wrapped=wrapped, wrapped_by=wrapped_by, retired_at=clock.now())], ignore_conflicts=True
        )
    moved = 0
    for row in RetiredSecret.objects.exclude(wrapped_by=present):
        label = f"retired:{row.fingerprint}"
        row.wrapped, row.wrapped_by = keys.wrap(keys.unwrap(row.wrapped, row.wrapped_by, label), label)
        row.save()
        moved += 1
    return moved


def _key_for_sealing(customer_id: str) -> bytes:
    row = CustomerKey.objects.filter(pk=customer_id).first()
    return _unwrapped(row if row is not None else _made(customer_id))


def _made(customer_id: str) -> CustomerKey:
    if not customer_id:
        raise ValueError("no customer id")
    wrapped, wrapped_by = keys.wrap(os.urandom(32), customer_id)
    table, key = (connection.ops.quote_name(name) for name in (CustomerKey._meta.db_table, str(CustomerKey._meta.pk.column)))
    # Two at once: the first row stands, and both get it. Setting the key to itself is what makes the database give a row that was there.
    [row] = CustomerKey.objects.raw(
        f"INSERT INTO {table} ({key}, wrapped, wrapped_by, created_at) VALUES (%s, %s, %s, %s)"  # noqa: S608  (names of ours)
        f" ON CONFLICT ({key}) DO UPDATE SET {key} = EXCLUDED.{key} RETURNING *",
        [customer_id, wrapped, wrapped_by, connection.ops.adapt_datetimefield_value(clock.now())],
    )
    return row


def _unwrapped(row: CustomerKey) -> bytes:
    if row.erased_at is not None:
        raise Erased(f"customer {row.pk} was erased on {row.erased_at:%Y-%m-%d}")
    return keys.unwrap(row.wrapped, row.wrapped_by, row.pk)


def _bound(customer_id: str) -> bytes:
    return b"sealed-words:" + customer_id.encode()
