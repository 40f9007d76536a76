"""What the audit keeps. Entries, checkpoints and reads can only be added: triggers refuse the rest (`append_only.py`)."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from billing_ai.kernel.ids import canonical_json


class CanonicalJson(models.TextField):  # type: ignore[type-arg]  # django-stubs' field generics add nothing to a dict in and a dict out
    """JSON kept as the very text that was hashed.

    PostgreSQL's jsonb would write numbers its own way (1e22 becomes an integer), and the hash of what comes back would differ.
    """

    def from_db_value(self, value: str | None, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        return None if value is None else json.loads(value)

    def get_prep_value(self, value: Any) -> str | None:
        return value if value is None or isinstance(value, str) else canonical_json(value).decode()


class Entry(models.Model):
    """One step that happened: who, what, about whom, under which trace. Written by `ledger.append` and by nothing else.

    `writer` is the process and thread that wrote it; `position` counts its entries from 1 without gaps; `serial` grows with each attempt,
    so that no entry can be played again. `hash` covers `prev_hash`, the id and every other column; `mark` is an HMAC that SQL cannot forge.
    """

    writer = models.UUIDField()
    position = models.PositiveBigIntegerField()
    serial = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=80)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=200)
    actor_label = models.CharField(max_length=200)
    trace_id = models.CharField(max_length=64)
    chargebee_event_id = models.CharField(max_length=200, blank=True)
    chargebee_customer_id = models.CharField(max_length=200, blank=True)
    chargebee_invoice_id = models.CharField(max_length=200, blank=True)
    case_id = models.UUIDField(null=True)
    subject_kind = models.CharField(max_length=80)
    subject_id = models.CharField(max_length=200)
    agent = models.CharField(max_length=80, blank=True)
    prompt_hash = models.CharField(max_length=80, blank=True)
    model = models.CharField(max_length=200, blank=True)
    data = CanonicalJson()
    mark = models.BinaryField()
    prev_hash = models.BinaryField()
    hash = models.BinaryField()

    class Meta:
        verbose_name = "ledger entry"
        verbose_name_plural = "ledger entries"
        permissions = [("export_evidence", "Can export evidence packs")]
        constraints = [models.UniqueConstraint(fields=["writer", "position"], name="audit_entry_writer_position")]
        indexes = [
            models.Index(fields=["at"], name="audit_entry_at"),
            models.Index(fields=["kind", "id"], name="audit_entry_kind"),
            models.Index(fields=["trace_id"], name="audit_entry_trace"),
            models.Index(fields=["case_id"], name="audit_entry_case"),
            models.Index(fields=["chargebee_event_id"], name="audit_entry_event"),
            models.Index(fields=["chargebee_customer_id"], name="audit_entry_customer"),
            models.Index(fields=["chargebee_invoice_id"], name="audit_entry_invoice"),
            models.Index(fields=["subject_id", "subject_kind"], name="audit_entry_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"


class Checkpoint(models.Model):
    """The state of all chains at one moment, signed, chained to the checkpoint before, and written outside the database too."""

    number = models.PositiveBigIntegerField(primary_key=True)
    at = models.DateTimeField()
    entries = models.PositiveBigIntegerField(help_text="all entries of all writers up to here")
    root = models.BinaryField(help_text="Merkle root over the heads that moved since the checkpoint before")
    previous = models.BinaryField(help_text="hash of the checkpoint before")
    hash = models.BinaryField()
    public_key = models.BinaryField()
    signature = models.BinaryField()

    def __str__(self) -> str:
        return f"checkpoint {self.number}"


class CheckpointHead(models.Model):
    """Where one writer's chain stood at a checkpoint. Only writers that wrote since the checkpoint before have one."""

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="heads")
    writer = models.UUIDField()
    position = models.PositiveBigIntegerField()
    entry_hash = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["writer", "position"], name="audit_checkpointhead_writer_position")]

    def __str__(self) -> str:
        return f"{self.writer.hex}:{self.position}"


class CheckpointPlace(models.Model):
    """How a place outside does: what it holds, and since when and why it cannot be written to."""

    name = models.CharField(max_length=300, primary_key=True, help_text="its address without passwords")
    last_number = models.PositiveBigIntegerField(default=0)
    seen_at = models.DateTimeField(null=True, help_text="when it last answered")
    failing_since = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True, default="")

    def __str__(self) -> str:
        return self.name


class CheckpointStamp(models.Model):
    """An RFC 3161 token over a checkpoint's statement. It proves itself; nobody can make one for a time that is over."""

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="stamps")
    place = models.CharField(max_length=300)
    at = models.DateTimeField()
    token = models.BinaryField(help_text="the service's whole answer (TimeStampResp), as openssl ts reads it")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["checkpoint", "place"], name="audit_checkpointstamp_once")]

    def __str__(self) -> str:
        return f"{self.place} {self.checkpoint_id}"


class CustomerKey(models.Model):
    """The key under which one customer's words are sealed, itself wrapped by the master key. Erased: the row stays, the key is gone."""

    chargebee_customer_id = models.CharField(max_length=200, primary_key=True)
    wrapped = models.BinaryField(blank=True)
    wrapped_by = models.CharField(max_length=16, blank=True, help_text="fingerprint of the master key")
    created_at = models.DateTimeField()
    erased_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["wrapped_by"], name="audit_customerkey_wrapped_by")]

    def __str__(self) -> str:
        return self.chargebee_customer_id


class RetiredSecret(models.Model):
    """An audit secret of a master key that was replaced, wrapped by the present one: old marks and signatures stay checkable."""

    fingerprint = models.CharField(max_length=16, primary_key=True)
    wrapped = models.BinaryField()
    wrapped_by = models.CharField(max_length=16)
    retired_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.fingerprint


class PersonalDataRead(models.Model):
    """A colleague looked at personal data of a customer. The reason is free text, so it is sealed under that customer's key."""

    at = models.DateTimeField()
    user_id = models.CharField(max_length=200)
    user_label = models.CharField(max_length=200)
    chargebee_customer_id = models.CharField(max_length=200)
    what = models.CharField(max_length=200)
    why_sealed = models.BinaryField(blank=True)
    trace_id = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = "read of personal data"
        verbose_name_plural = "reads of personal data"
        indexes = [
            models.Index(fields=["chargebee_customer_id", "id"], name="audit_read_customer"),
            models.Index(fields=["user_id", "id"], name="audit_read_user"),
        ]

    def __str__(self) -> str:
        return f"{self.user_label} read {self.what}"


class TriedPassword(models.Model):
    """A password was tried for a name, and was not the right one, or is being looked at. Kept for a quarter of an hour, to end guessing.

    Neither the name nor the address is kept: keyed marks of them are.
    """

    at = models.DateTimeField()
    name_mark = models.CharField(max_length=64)
    name_and_address_mark = models.CharField(max_length=64)

    class Meta:
        indexes = [
            models.Index(fields=["name_mark", "at"], name="audit_tried_name"),
            models.Index(fields=["at"], name="audit_tried_at"),
        ]

    def __str__(self) -> str:
        return f"a password tried at {self.at:%Y-%m-%d %H:%M:%S}"
