"""The columns that every waiting row has, and the record of each beat tick."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models

from billing_ai.kernel import clock


class Lane(models.IntegerChoices):
    """What goes first: settled payments, then people, then news, then batch."""

    PAYMENT = 0, "payment came in"
    PERSON = 1, "a person waits"
    NEWS = 2, "news"
    BATCH = 3, "batch"


class Leased(models.Model):
    """A row that a worker claims, works on and completes.

    `attempt` is the fencing number: a completion names the attempt it claimed, and loses when someone else claimed since.
    """

    WAITING, LEASED, DONE, PARKED, SKIPPED = "waiting", "leased", "done", "parked", "skipped"
    FAIR_BY: ClassVar[str] = ""
    """The column of whoever a claim is to be fair between; it needs an index (FAIR_BY, lane, not_before) of what waits. Empty: the oldest first."""

    status = models.CharField(max_length=20, default=WAITING)
    lane = models.SmallIntegerField(default=Lane.NEWS)
    not_before = models.DateTimeField(default=clock.now)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=8)
    reason = models.TextField(blank=True, default="", help_text="why it waits, was ignored or is parked, in words")

    class Meta:
        abstract = True


def due_index(name: str) -> models.Index:
    """The index of a `Leased` model in the order of claims. The key is in it: after a storm many rows have one `not_before`, and would all be sorted for each batch."""
    return models.Index(fields=["lane", "not_before", "id"], name=name, condition=models.Q(status__in=["waiting", "leased"]))


class Tick(models.Model):
    """One beat schedule's last run. Claiming (schedule, slot) makes a second beat do nothing."""

    schedule = models.CharField(max_length=60, primary_key=True)
    slot = models.BigIntegerField(default=0, help_text="seconds since 1970 divided by the interval")
    every_seconds = models.PositiveIntegerField(default=0, help_text="how often it should start; 0 when it is no sweep")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    result = models.CharField(max_length=200, blank=True, default="")
    problems = models.PositiveIntegerField(default=0, help_text="what its last run found that must not be")

    def __str__(self) -> str:
        return self.schedule

    def overdue(self, now: datetime) -> timedelta:
        """How long ago it should have started again; nothing while it is in time."""
        if self.started_at is None or not self.every_seconds:
            return timedelta()
        return max(timedelta(), now - self.started_at - timedelta(seconds=self.every_seconds))
