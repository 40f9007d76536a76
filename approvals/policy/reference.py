"""One yardstick for amounts in different currencies: reference cents, by the rates of the policy row `reference_rates`.

For comparing and ordering only. What is charged or shown is always in the invoice's own currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from approvals.policy import rules
from billing_ai.kernel import clock
from billing_ai.kernel.money import Money

KEY = "reference_rates"
OVER_EVERY_LIMIT = 10**15
"""What an amount counts in a currency without a rate: above whatever limit anyone sets."""


def reference_cents(money: Money) -> int:
    """The amount in reference cents, rounded away from zero; `OVER_EVERY_LIMIT` when its currency has no rate."""
    rule = rules.recent(clock.now()).policies.get(KEY)
    return in_reference_cents(money, rule.params if rule is not None and rule.is_enabled else {})


def reference_currency() -> str:
    """The currency that reference cents are cents of, as the policy names it; US dollars without one."""
    rule = rules.recent(clock.now()).policies.get(KEY)
    return str(rule.params.get("reference") or "USD") if rule is not None else "USD"


def in_reference_cents(money: Money, params: Mapping[str, Any]) -> int:
    """The same by given values: `{"rates": {"EUR": "1.08"}}`, units of the reference currency for one unit, as text."""
    if money.minor == 0:
        return 0
    rates = params.get("rates")
    try:
        rate = Decimal(str(rates[money.currency])) if isinstance(rates, Mapping) else Decimal(0)
    except (KeyError, InvalidOperation):
        return OVER_EVERY_LIMIT
    if not rate.is_finite() or rate <= 0:
        return OVER_EVERY_LIMIT
    cents = (abs(money.amount) * rate * 100).to_integral_value(ROUND_CEILING)
    return min(int(cents), OVER_EVERY_LIMIT) * (1 if money.minor > 0 else -1)
