"""Figures that were added up once, so that no page adds them up again."""

from __future__ import annotations

from django.db import models

from billing_ai.kernel import clock


class Figures(models.Model):
    """What the page “Today” shows of all cases, for the readers whose month began at one instant. A sweep keeps it fresh while it is asked for."""

    month_start = models.DateTimeField(primary_key=True)
    figures: models.JSONField[dict[str, object]] = models.JSONField(default=dict)
    taken_at = models.DateTimeField(default=clock.now)
    asked_at = models.DateTimeField(default=clock.now, help_text="by a page, within the hour")

    def __str__(self) -> str:
        return f"figures of the month from {self.month_start:%Y-%m-%d %H:%M}"
