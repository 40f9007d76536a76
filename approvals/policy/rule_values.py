"""Are these values a rule can be read from? Asked before a lead's change is kept; the rules themselves deny what they cannot read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from approvals.policy.quiet_hours import Hours
from approvals.policy.retry_rules import windows_of
from approvals.policy.rules import MissingRule, Rule, Rules
from billing_ai.kernel.money import UnknownCurrency, exponent


def problem(key: str, params: Mapping[str, Any]) -> str:
    """What is wrong with the values, in a sentence; empty when they can be read."""
    try:
        reader = _READERS.get(key)
        if reader is not None:
            reader(params)
        elif key.startswith("retry."):
            _windows(key, params)
    except (KeyError, TypeError, ValueError, MissingRule) as error:
        named = f"“{error.args[0]}” is missing" if isinstance(error, KeyError) and not isinstance(error, MissingRule) else str(error)
        return f"These values cannot be used: {named}."
    return ""


def _whole(params: Mapping[str, Any], name: str, *, least: int = 0, most: int = 10_000) -> int:
    value = params[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} has to be a whole number from {least} to {most}")
    return value


def _frequency(params: Mapping[str, Any]) -> None:
    _whole(params, "messages", most=100)
    _whole(params, "days", least=1, most=180)


def _conversation(params: Mapping[str, Any]) -> None:
    _whole(params, "days", most=180)
    if not isinstance(params["channels"], list):
        raise TypeError("channels has to be a list")


def _never(params: Mapping[str, Any]) -> None:
    if not isinstance(params["codes"], Mapping) or not all(isinstance(one, list) for one in params["codes"].values()):
        raise TypeError("codes has to name a list for each network")
    if not isinstance(params["mastercard_advice"], list):
        raise TypeError("mastercard_advice has to be a list")


def _rates(params: Mapping[str, Any]) -> None:
    for currency, rate in params["rates"].items():
        try:
            exponent(currency)
            if Decimal(str(rate)) <= 0:
                raise ValueError(f"the rate of {currency} is not above zero")
        except (UnknownCurrency, InvalidOperation) as error:
            raise ValueError(f"{currency} {rate} is no rate") from error


def _windows(key: str, params: Mapping[str, Any]) -> None:
    network = key.removeprefix("retry.")
    windows_of(network, Rules({key: Rule(key, "retry", params)}))
    for window in params["windows"]:
        _whole(window, "limit", most=1_000)
        _whole(window, "hours", least=1, most=180 * 24)
        if int(window["limit"]) > int(window.get("ceiling", window["limit"])):
            raise ValueError(f"the network's own ceiling is {window['ceiling']}")


_READERS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "contact.quiet_hours": lambda params: Hours.read(params["start"], params["end"]),
    "contact.days_off": dict,
    "contact.promotion": dict,
    "contact.sms_opt_out": dict,
    "contact.frequency": _frequency,
    "contact.after_conversation": _conversation,
    "contact.confirmation": lambda params: _whole(params, "minutes", most=60),
    "retry.never": _never,
    "retry.spacing": lambda params: _whole(params, "hours", most=24 * 30),
    "retry.india_mandate": lambda params: (
        _whole(params, "notice_hours", most=24 * 30),
        _whole(params, "authentication_above_minor", most=10**12),
    ),
    "reference_rates": _rates,
}
