"""The columns that every waiting row has, and the record of each beat tick."""

from __future__ import annotations

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

    status = models.CharField(max_length=20, default=WAITING)
    lane = models.SmallIntegerField(default=Lane.NEWS)
    not_before = models.DateTimeField(default=clock.now)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=8)
    reason = models.TextField(blank=True, default="", help_text="why it waits, was ignored or is parked, in words")

    class Meta:
        abstract = True


class Tick(models.Model):
    """One beat schedule's last run. Claiming (schedule, slot) makes a second beat do nothing."""

    schedule = models.CharField(max_length=60, primary_key=True)
    slot = models.BigIntegerField(default=0, help_text="seconds since 1970 divided by the interval")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    result = models.CharField(max_length=200, blank=True, default="")

    def __str__(self) -> str:
        return self.schedule
