"""Serializer fields that take JSON at its word: no text for a number, no number for a text, no unknown field, no instant without a zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing_ai.kernel import clock

CLOCK_SKEW = timedelta(minutes=5)
"""How far a sender's clock may be ahead of ours."""
OLDEST = timedelta(days=366 * 10)


class Strict(serializers.Serializer[Any]):
    """Refuses fields that are not documented, so that nothing is ever assigned by accident."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [name for name in data if name not in self.fields or self.fields[name].read_only]
            if unknown:
                # The sender's own words: shortened, since they come back in the answer.
                raise serializers.ValidationError(
                    {str(name)[:80]: [serializers.ErrorDetail("There is no such field.", "unknown_field")] for name in unknown}
                )
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A JSON string."""

    default_error_messages = {"not_text": "Send a text."}

    def __init__(self, **more: Any) -> None:
        super().__init__(trim_whitespace=False, **more)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("not_text")
        return super().to_internal_value(data)


class Pattern(serializers.RegexField):
    """A JSON string of a fixed form."""

    default_error_messages = {"not_text": "Send a text."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("not_text")
        return super().to_internal_value(data)


class Uuid(serializers.UUIDField):
    """A UUID in its usual form with four dashes."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str) or len(data) != 36:
            self.fail("invalid", value="")
        return super().to_internal_value(data)


class Choice(serializers.ChoiceField):
    """One of a closed list of texts."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=type(data).__name__)
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A JSON integer."""

    default_error_messages = {"not_whole": "Send a whole number."}

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, float) and data.is_integer():
            data = int(data)  # 5.0 is an integer to JSON Schema
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("not_whole")
        return super().to_internal_value(str(data) if abs(data) < 10**30 else "9" * 30)


class Yes(serializers.BooleanField):
    """A JSON boolean."""

    default_error_messages = {"not_bool": "Send true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("not_bool")
        return data


@extend_schema_field(
    {"type": "number", "minimum": 0, "maximum": 99_999_999_999_999, "description": "Never negative. Kept to four decimals."}
)
class Quantity(serializers.Field[Any, Any, Any, Any]):
    """A number that is not negative."""

    default_error_messages = {
        "not_number": "Send a number.",
        "impossible_negative": "It cannot be negative.",
        "impossible_large": "It is larger than anything that can be used.",
    }

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("not_number")
        try:
            number = Decimal(repr(data))
        except (InvalidOperation, ValueError):
            self.fail("not_number")
        if not number.is_finite():
            self.fail("not_number")
        if number < 0:
            self.fail("impossible_negative")
        if number > 99_999_999_999_999:
            self.fail("impossible_large")
        return number.quantize(Decimal("0.0001"))

    def to_representation(self, value: Any) -> Any:
        return float(value)


@extend_schema_field(OpenApiTypes.DATETIME)
class Moment(serializers.Field[Any, Any, Any, Any]):
    """An instant in RFC 3339, with its zone. `past`: not after now (five minutes of clock skew are forgiven) and at most ten years ago."""

    default_error_messages = {
        "not_moment": "Send an instant as RFC 3339 with a zone, such as 2026-11-24T09:00:00Z.",
        "impossible_future": "It lies in the future.",
        "impossible_past": "It is more than ten years ago.",
    }

    def __init__(self, *, past: bool = False, **more: Any) -> None:
        self.past = past
        super().__init__(**more)

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str) or len(data) > 64 or "T" not in data.upper():
            self.fail("not_moment")
        try:
            # A leap second is a second that our clocks do not have.
            moment = datetime.fromisoformat(data.upper().replace(":60Z", ":59Z").replace("Z", "+00:00"))
            if moment.tzinfo is None:
                self.fail("not_moment")
            moment = moment.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail("not_moment")
        if self.past:
            now = clock.now()
            if moment > now + CLOCK_SKEW:
                self.fail("impossible_future")
            if moment < now - OLDEST:
                self.fail("impossible_past")
        return moment

    def to_representation(self, value: Any) -> str:
        return str(value.astimezone(UTC).isoformat().replace("+00:00", "Z"))


@extend_schema_field(OpenApiTypes.DATE)
class Day(serializers.Field[Any, Any, Any, Any]):
    """A date, `2026-11-24`."""

    default_error_messages = {"not_day": "Send a date such as 2026-11-24."}

    def to_internal_value(self, data: Any) -> date:
        if not isinstance(data, str) or len(data) != 10:
            self.fail("not_day")
        try:
            return date.fromisoformat(data)
        except ValueError:
            self.fail("not_day")

    def to_representation(self, value: Any) -> str:
        return str(value.isoformat())
