"""The scorecard: likelihood that an unpaid invoice comes in within 30 days, as log-odds that add up, each with its reason in words.

Readable on purpose. The weights are ours, from the order in which the field ranks these signs; a learned model may stand behind `score` later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from agents.dunning.context import DunningContext
from approvals.contract import Reason

# Log-odds of recovery by why it failed: without acting, and what acting (message, card page, a well-timed retry) adds.
_BASE: dict[str, tuple[float, float]] = {
    "insufficient_funds": (0.4, 0.9),
    "limit_exceeded": (0.3, 0.8),
    "processor_error": (1.6, 0.4),
    "config_error": (0.8, 0.3),
    "do_not_honor": (-0.1, 0.7),
    "auth_required": (-0.6, 1.6),
    "expired_card": (-1.0, 1.9),
    "invalid_card": (-1.0, 1.7),
    "updated_card_available": (0.2, 1.2),
    "no_payment_method": (-1.4, 1.7),
    "closed_account": (-1.6, 1.3),
    "lost_stolen": (-1.3, 1.6),
    "restricted_card": (-0.9, 1.1),
    "pin": (-0.6, 0.9),
    "not_permitted": (-0.9, 1.0),
    "mandate": (-0.9, 1.4),
    "revocation": (-2.0, 0.8),
    "cancelled": (-2.0, 0.6),
    "fraud": (-2.4, 0.4),
    "deceased": (-4.0, 0.0),
    "invalid_transaction": (-0.4, 0.6),
    "duplicate": (0.0, 0.2),
    "network_limit": (-0.8, 0.6),
}
_UNKNOWN_CATEGORY = (-0.6, 0.6)


@dataclass(frozen=True, slots=True)
class Score:
    """Likelihoods in hundredths of a percent; `reasons` strongest first."""

    likelihood_bp: int
    uplift_bp: int
    reasons: tuple[Reason, ...]


def score(context: DunningContext, category: str, now: datetime) -> Score:
    """The likelihood when acted on now, and how much of it is due to acting."""
    base, lift = _BASE.get(category, _UNKNOWN_CATEGORY)
    moved = [Reason(f"category.{category or 'unknown'}", f"It failed as {words_for(category)}.", base, _failed(context))]
    moved += _history(context) + _relationship(context, now) + _this_invoice(context, now)
    total = sum(reason.weight for reason in moved)
    # What was said already and led to nothing makes the next message worth less.
    lift *= 0.75 ** len(context.said)
    with_action, without = _probability(total + lift), _probability(total)
    moved.append(Reason("acting", "Acting now changes the odds by this much.", lift, _failed(context)))
    ranked = sorted((reason for reason in moved if reason.weight), key=lambda reason: -abs(reason.weight))
    return Score(round(with_action * 10_000), max(0, round((with_action - without) * 10_000)), tuple(ranked))


def _history(context: DunningContext) -> list[Reason]:
    others = [one for one in context.tries if context.invoice.pk not in one.invoice_ids]
    payments = f"payments:{context.customer.pk}"
    paid = sum(1 for one in others if one.succeeded)
    failed = len(others) - paid
    found = []
    if paid >= 3 and failed == 0:
        found.append(Reason("history.always_paid", f"All {paid} earlier payments went through.", 0.8, payments))
    elif paid:
        share = paid / (paid + failed)
        found.append(
            Reason(
                "history.share_paid", f"{paid} of {paid + failed} earlier attempts went through.", round(1.2 * (share - 0.6), 2), payments
            )
        )
    else:
        found.append(Reason("history.never_paid", "No payment of this customer has ever gone through.", -1.0, payments))
    return found


def _relationship(context: DunningContext, now: datetime) -> list[Reason]:
    found = []
    whose = context.customer.pk
    if context.customer.customer_since is not None:
        months = int((now - context.customer.customer_since).days / 30.4)
        if months >= 12:
            found.append(Reason("tenure.long", f"A customer for {months} months.", 0.4, f"customer:{whose}"))
        elif months < 3:
            found.append(Reason("tenure.new", "A customer for less than three months.", -0.4, f"customer:{whose}"))
    statuses = {one.status for one in context.subscriptions}
    if statuses and not statuses & {"active", "in_trial", "non_renewing", "future"}:
        found.append(Reason("subscription.none_active", "No subscription is active any more.", -1.3, f"subscriptions:{whose}"))
    elif ending := next((one for one in context.subscriptions if one.status == "non_renewing"), None):
        found.append(Reason("subscription.ending", "A cancellation is scheduled.", -0.7, f"subscription:{ending.pk}"))
    if context.open_tickets:
        found.append(Reason("tickets.open", f"{context.open_tickets} open ticket(s) at the help desk.", -0.2, f"tickets:{whose}"))
    if context.broken_promises:
        found.append(Reason("promise.broken", "A promise to pay was broken.", -0.6, f"said:{whose}"))
    return found


def _this_invoice(context: DunningContext, now: datetime) -> list[Reason]:
    found = []
    failures = len(context.failures)
    if failures > 1:
        found.append(
            Reason(
                "attempts.many",
                f"{failures} attempts on this invoice have failed.",
                round(-0.35 * min(failures - 1, 5), 2),
                _failed(context),
            )
        )
    overdue = (now.date() - context.invoice.due_on).days if context.invoice.due_on else 0
    if overdue > 30:
        found.append(Reason("age.old", f"{overdue} days past due.", round(-0.5 * min(overdue / 30, 4), 2), f"invoice:{context.invoice.pk}"))
    if len(context.open_invoices) > 1:
        found.append(
            Reason("invoices.several", f"{len(context.open_invoices)} invoices are open.", -0.3, f"invoices:{context.customer.pk}")
        )
    paid = sorted(one.amount_minor for one in context.tries if one.succeeded and one.currency == context.invoice.currency)
    if paid and context.invoice.amount_due_minor > 2 * paid[len(paid) // 2]:
        found.append(Reason("amount.unusual", "More than twice what this customer usually pays.", -0.4, f"payments:{context.customer.pk}"))
    return found


def _failed(context: DunningContext) -> str:
    """The failed payment that it is about; the invoice, where the facts hold none any more."""
    return f"transaction:{context.failures[0].id}" if context.failures else f"invoice:{context.invoice.pk}"


def words_for(category: str) -> str:
    """A decline category as a sentence's end."""
    return {
        "insufficient_funds": "insufficient funds",
        "limit_exceeded": "a limit of the card was exceeded",
        "processor_error": "a fault at the gateway or the bank",
        "config_error": "a fault in our own set-up",
        "do_not_honor": "the bank declined without saying why",
        "auth_required": "the bank wants the customer to confirm",
        "expired_card": "the card has expired",
        "invalid_card": "the card's details are wrong",
        "updated_card_available": "the bank has issued a new card",
        "no_payment_method": "there is no payment method",
        "closed_account": "the account is closed",
        "lost_stolen": "the card was reported lost or stolen",
        "restricted_card": "the card is restricted",
        "not_permitted": "the card does not allow this kind of payment",
        "mandate": "the mandate is missing or no longer valid",
        "revocation": "the customer has revoked the payment",
        "fraud": "a suspicion of fraud at the bank",
        "deceased": "the account holder has died",
        "network_limit": "the network's limit of tries is reached",
    }.get(category, category.replace("_", " ") or "an unknown reason")


def _probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
