"""May this instrument be charged again at this moment? Pure: the ledger of attempts and the rules in, checks out.

Attempts from every source count. A slot that is reserved counts as an attempt until its transaction is in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal

from approvals.contract import Check
from approvals.policy.quiet_hours import next_minute
from approvals.policy.rules import MissingRule, Rules
from billing_ai.facts.decline_codes import advice
from billing_ai.kernel.money import Money

Scope = Literal["instrument", "same_charge", "invoice"]
CARD_NETWORKS = ("visa", "mastercard", "amex", "discover")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to collect. `code` is the gateway's and `retryable` and `category` are of it; a reservation has `reserved` set and no outcome yet."""

    at: datetime
    amount_minor: int
    currency: str
    merchant_account: str = ""
    invoice_id: str = ""
    succeeded: bool = False
    code: str = ""
    category: str = ""
    retryable: str = ""
    min_wait_hours: int | None = None
    advice_code: str = ""
    network_code: str = ""
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class Charge:
    """What would be charged: which instrument, how much, for which invoice, when."""

    amount: Money
    invoice_id: str
    network: str
    at: datetime
    merchant_account: str = ""
    issuing_country: str = ""
    has_instrument: bool = True
    is_draft: bool = False
    """Not just before the call: what a notice still can mend needs a person instead of ending it."""
    noticed_at: datetime | None = None
    """When the customer was last told of this charge."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` attempts within `hours`, counted per `per`; `counts` is all or declines."""

    limit: int
    hours: int
    per: Scope = "same_charge"
    counts: Literal["all", "declines"] = "all"


@dataclass(frozen=True, slots=True)
class Usage:
    """How full one window is, and the first moment at which there is room."""

    window: Window
    used: int
    free_at: datetime | None


def check_retry(charge: Charge, attempts: Sequence[Attempt], rules: Rules, zone: tzinfo = UTC) -> tuple[Check, ...]:
    """All checks of one charge. The last, `retry.window`, says how much is used and when the next slot is safe."""
    if not charge.has_instrument:
        return (Check("retry.instrument", "deny", "The customer has no payment method that can be charged."),)
    attempts = sorted(attempts, key=lambda one: one.at)
    checks: list[Check] = []
    for rule in (_last_decline, _never_again, _waiting_time, _india):
        try:
            found = rule(charge, attempts, rules)
        except MissingRule as missing:
            found = missing.check()
        if found is not None:
            checks.append(found)
    waits = [check.not_before for check in checks if check.outcome == "wait" and check.not_before]
    checks.append(_windows(charge, attempts, rules, zone, max(waits, default=charge.at)))
    return tuple(checks)


def usages(charge: Charge, attempts: Sequence[Attempt], rules: Rules) -> tuple[Usage, ...]:
    """How full each window of the charge's network is. Raises MissingRule for a network without a rule."""
    return tuple(_usage(window, charge, attempts) for window in windows_of(charge.network, rules) or ())


def windows_of(network: str, rules: Rules) -> tuple[Window, ...] | None:
    """The network's windows; None when a lead has switched the rule off. Raises MissingRule when there is no rule, or it cannot be read."""
    key = f"retry.{network}" if network else "retry.unknown_network"
    params = rules.params(key)
    if params is None:
        return None
    try:
        windows = tuple(
            Window(
                min(int(one["limit"]), int(one.get("ceiling", one["limit"]))),
                int(one["hours"]),
                one.get("per", "same_charge"),
                one.get("counts", "all"),
            )
            for one in params["windows"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MissingRule(key) from error
    if not windows or any(window.per not in ("instrument", "same_charge", "invoice") for window in windows):
        raise MissingRule(key)
    return windows


def _windows(charge: Charge, attempts: Sequence[Attempt], rules: Rules, zone: tzinfo, earliest: datetime) -> Check:
    rule = f"retry.window.{charge.network or 'unknown_network'}"
    try:
        found = usages(charge, attempts, rules)
    except MissingRule as missing:
        if charge.network in ("", missing.key.removeprefix("retry.")) and missing.key not in rules.policies:
            name = charge.network or "of this payment method"
            return Check(
                "retry.unknown_network", "deny", f"There is no limit on record for the network {name}, so it is not charged again."
            )
        return missing.check()
    if not found:
        return Check(rule, "allow", "The network's limit is switched off.")
    tightest = min(found, key=lambda usage: (usage.window.limit - usage.used, usage.window.limit))
    if any(usage.free_at is None for usage in found):
        return Check(rule, "deny", "The rule for this network allows no attempt.", data=_figures(tightest))
    safe = next_minute(max([earliest, *(usage.free_at for usage in found if usage.free_at)]))
    said = f"{tightest.used} of {tightest.window.limit} attempts in {_span(tightest.window.hours)} used"
    if safe <= next_minute(charge.at):
        return Check(rule, "allow", f"{said}; a slot is free.", data=_figures(tightest))
    return Check(rule, "wait", f"{said}, next safe slot {safe.astimezone(zone):%a %d %b, %H:%M}.", safe, _figures(tightest))


def _figures(usage: Usage) -> dict[str, Any]:
    return {"used": usage.used, "limit": usage.window.limit, "hours": usage.window.hours, "per": usage.window.per}


def _span(hours: int) -> str:
    return f"{hours // 24} days" if hours % 24 == 0 and hours > 24 else f"{hours} hours"


def _usage(window: Window, charge: Charge, attempts: Sequence[Attempt]) -> Usage:
    since = charge.at - timedelta(hours=window.hours)
    counted = sorted((one.at for one in attempts if one.at > since and _counts(window, charge, one)), reverse=True)
    if window.limit <= 0:
        return Usage(window, len(counted), None)
    if len(counted) < window.limit:
        return Usage(window, len(counted), charge.at)
    return Usage(window, len(counted), counted[window.limit - 1] + timedelta(hours=window.hours))


def _counts(window: Window, charge: Charge, one: Attempt) -> bool:
    if window.counts == "declines" and one.succeeded:
        return False
    if window.per == "instrument":
        return True
    if window.per == "invoice":
        return not one.succeeded and one.invoice_id in ("", charge.invoice_id)
    same_account = not charge.merchant_account or not one.merchant_account or one.merchant_account == charge.merchant_account
    return same_account and (one.amount_minor, one.currency) == (charge.amount.minor, charge.amount.currency)


def _last_decline(charge: Charge, attempts: Sequence[Attempt], rules: Rules) -> Check | None:
    """What the newest answer says about trying again. A success since then has settled it."""
    last = next((one for one in reversed(attempts) if not one.reserved), None)
    if last is None or last.succeeded:
        return None
    why = f" (the last answer was “{last.code or 'no code'}”)"
    match last.retryable:
        case "yes":
            return Check("retry.decline", "allow", f"The last decline ({last.category.replace('_', ' ')}) may be tried again.")
        case "no" | "after_update":
            return _hard(last)
        case "after_auth":
            return Check(
                "retry.authentication", "deny", f"The bank wants the customer to authenticate{why}: send the payment link, do not retry."
            )
        case "after_customer_action":
            return Check("retry.customer_action", "person", f"The customer has to do something at their bank first{why}: a person decides.")
        case "pending":
            return Check("retry.pending", "deny", "A payment is on its way already; its answer has to come first.")
        case "fix_config":
            return Check("retry.configuration", "deny", f"Our own set-up at the gateway is at fault{why}: a retry would fail the same way.")
        case _:
            return Check("retry.unknown_code", "deny", f"We do not know what the decline means{why}, so it is not tried again.")


def _hard(last: Attempt) -> Check:
    if last.retryable == "after_update":
        return Check("retry.hard_decline", "deny", "This card or mandate cannot be charged any more: the customer has to give a new one.")
    return Check("retry.hard_decline", "deny", f"The bank said never to try this again ({last.category.replace('_', ' ')}).")


def _never_again(charge: Charge, attempts: Sequence[Attempt], rules: Rules) -> Check | None:
    """Codes after which the network never allows another try, however long ago, and whatever came after."""
    params = rules.params("retry.never") or {}
    try:
        codes = {str(network): frozenset(map(str, listed)) for network, listed in params.get("codes", {}).items()}
        advices = frozenset(map(str, params.get("mastercard_advice", ())))
    except (AttributeError, TypeError) as error:
        raise MissingRule("retry.never") from error
    for one in attempts:
        if not one.succeeded and not one.reserved:
            if one.network_code.upper() in codes.get(charge.network, frozenset()):
                return Check("retry.never", "deny", f"The network forbids another try on this card for good (code {one.network_code}).")
            if charge.network == "mastercard" and one.advice_code in advices:
                return Check("retry.never", "deny", f"Mastercard forbids another try on this card for good (advice {one.advice_code}).")
    return None


def _waiting_time(charge: Charge, attempts: Sequence[Attempt], rules: Rules) -> Check | None:
    """How long the issuer asked to wait, by the code or by Mastercard's advice."""
    last = next((one for one in reversed(attempts) if not one.reserved), None)
    if last is None or last.succeeded:
        return None
    hours = [last.min_wait_hours] if last.min_wait_hours is not None else []
    if charge.network == "mastercard" and last.advice_code:
        advised = advice(last.advice_code)
        if advised.retryable != "yes":
            return Check("retry.advice", "deny", f"Mastercard's advice {last.advice_code}: {advised.meaning.rstrip('.')}.")
        hours += [advised.min_wait_hours] if advised.min_wait_hours is not None else []
    spacing = rules.params("retry.spacing")
    if spacing is not None:
        try:
            hours.append(int(spacing["hours"]))
        except (KeyError, TypeError, ValueError) as error:
            raise MissingRule("retry.spacing") from error
    free = last.at + timedelta(hours=max(hours, default=0))
    if free <= charge.at:
        return Check("retry.waiting_time", "allow", "The waiting time since the last decline is over.")
    return Check("retry.waiting_time", "wait", f"{max(hours)} hours have to pass after the last decline.", next_minute(free))


def _india(charge: Charge, attempts: Sequence[Attempt], rules: Rules) -> Check | None:
    """India's rules on recurring charges: told a day before, and authenticated above a sum."""
    rule = "retry.india_mandate"
    params = rules.params(rule)
    if params is None or (charge.amount.currency != "INR" and charge.issuing_country != "IN"):
        return None
    try:
        above, hours = int(params["authentication_above_minor"]), int(params["notice_hours"])
    except (KeyError, TypeError, ValueError) as error:
        raise MissingRule(rule) from error
    if charge.amount.currency != "INR" or charge.amount.minor > above:
        return Check(rule, "deny", "Above this sum the customer has to authenticate in India: send the payment link.")
    if charge.noticed_at is None:
        return Check(rule, "person" if charge.is_draft else "deny", f"The customer has to be told {hours} hours before a charge in India.")
    free = charge.noticed_at + timedelta(hours=hours)
    if free > charge.at:
        return Check(rule, "wait", f"The customer was told less than {hours} hours ago.", next_minute(free))
    return Check(rule, "allow", "The customer was told in time.")
