"""The decision: pure, from the context and the moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from agents.dunning.context import DunningContext, Try
from agents.dunning.features import Score, score, words_for
from approvals.contract import Reason
from approvals.policy.planner import Attempt, NoRetry, PlannedRetry, RetryQuestion, plan_retry
from billing_ai.facts.decline_codes import Decline, classify

_ASK_FOR_CARD = frozenset(
    {
        "expired_card",
        "invalid_card",
        "lost_stolen",
        "no_payment_method",
        "closed_account",
        "updated_card_available",
        "restricted_card",
        "not_permitted",
        "mandate",
    }
)
_OUR_SIDE = frozenset({"processor_error", "config_error", "invalid_transaction", "duplicate"})
_NO_MESSAGE = frozenset({"deceased"})
_ESCALATE = frozenset({"fraud", "revocation", "deceased", "unknown"})
MANY_FAILURES = 4
HIGH_VALUE_REFERENCE_CENTS = 100_000
"""1,000 in the reference currency: from here a low likelihood goes to a person with a full summary."""
LOW_LIKELIHOOD_BP = 3_000


@dataclass(frozen=True, slots=True)
class DunningDecision:
    """What would be done, and why."""

    decline: Decline
    category: str
    score: Score
    stage: Literal["first_notice", "reminder", "last_notice", "apology"]
    tone: Literal["warm", "neutral", "firm"]
    channel: Literal["email", "sms"]
    writes: bool
    retry: PlannedRetry | None
    no_retry: str
    escalate: tuple[str, ...]
    """Why a person has to take this in hand; empty: nothing special."""
    pause_subscription_id: str
    headline: str
    next_action: str


def decide(context: DunningContext, now: datetime, *, amount_reference: int) -> DunningDecision:
    """The decision for one unpaid invoice. `amount_reference` is the amount due in reference cents."""
    last = context.failures[0] if context.failures else None
    decline = (
        classify(last.gateway, last.decline_code, last.payment_method) if last else classify("chargebee_api", "payment_method_not_present")
    )
    category = decline.category
    if last is None and context.primary_source is not None:
        decline, category = classify("", ""), "unknown"
    scored = score(context, category, now)
    escalate = _escalate(context, category, scored, amount_reference)
    stage = _stage(context, category)
    retry, no_retry = _retry(context, decline, now)
    writes = category not in _NO_MESSAGE
    return DunningDecision(
        decline=decline,
        category=category,
        score=scored,
        stage=stage,
        tone=_tone(context, stage, amount_reference),
        channel=_channel(context),
        writes=writes,
        retry=retry,
        no_retry=no_retry,
        escalate=escalate,
        pause_subscription_id=_pause(context, category, now),
        headline=_headline(context, category, scored, now),
        next_action=_next_action(category, context.there(retry.at) if retry else None, escalate, writes),
    )


def _escalate(context: DunningContext, category: str, scored: Score, amount_reference: int) -> tuple[str, ...]:
    why = []
    if category in _ESCALATE:
        why.append(f"It failed as {words_for(category)}: a person should look at this first.")
    if len(context.failures) >= MANY_FAILURES:
        why.append(f"{len(context.failures)} attempts have failed.")
    if amount_reference >= HIGH_VALUE_REFERENCE_CENTS and scored.likelihood_bp < LOW_LIKELIHOOD_BP:
        why.append("A large amount that is unlikely to come in.")
    if context.broken_promises:
        why.append("A promise to pay was broken.")
    return tuple(why)


def _stage(context: DunningContext, category: str) -> Literal["first_notice", "reminder", "last_notice", "apology"]:
    if category in _OUR_SIDE and not context.said:
        return "apology"
    if not context.said:
        return "first_notice"
    return "reminder" if len(context.said) < 3 else "last_notice"


def _tone(context: DunningContext, stage: str, amount_reference: int) -> Literal["warm", "neutral", "firm"]:
    if stage == "last_notice":
        return "firm"
    has_paid = sum(1 for one in context.tries if one.succeeded)
    if stage in ("first_notice", "apology") and has_paid >= 3:
        return "warm"
    return "neutral"


def _channel(context: DunningContext) -> Literal["email", "sms"]:
    unanswered_mails = sum(1 for one in context.said if one.channel == "email")
    if not context.customer.has_email and context.sms_is_allowed:
        return "sms"
    return "sms" if unanswered_mails >= 2 and unanswered_mails % 2 == 0 and context.sms_is_allowed else "email"


def _retry(context: DunningContext, decline: Decline, now: datetime) -> tuple[PlannedRetry | None, str]:
    source = context.primary_source
    if source is None:
        return None, "There is no payment method on file to try."
    if context.retry_check.outcome == "deny":
        return None, context.retry_check.sentence
    answer = plan_retry(
        RetryQuestion(
            decline=decline,
            instrument_hash=source.instrument_hash,
            network=source.network,
            payment_method=source.kind,
            country=context.customer.country,
            currency=context.invoice.currency,
            amount_minor=context.invoice.amount_due_minor,
            time_zone=context.customer.time_zone,
            attempts=tuple(_attempt(one) for one in context.tries),
            invoice_failures=len(context.failures),
            is_new_instrument=_is_new(context, source.instrument_hash),
            not_before=context.retry_check.not_before,
        ),
        now,
    )
    if isinstance(answer, NoRetry):
        return None, answer.sentence
    if source.expires_on is not None and answer.at.date() > source.expires_on:
        return None, "The card expires before the next time that is worth trying."
    return answer, ""


def _attempt(one: Try) -> Attempt:
    return Attempt(
        at=one.at,
        succeeded=one.succeeded,
        instrument_hash=one.instrument_hash,
        merchant_account=one.merchant_account,
        amount_minor=one.amount_minor,
        currency=one.currency,
        decline_code=one.decline_code,
        decline_category=one.decline_category,
    )


def _is_new(context: DunningContext, instrument_hash: str) -> bool:
    """The instrument on file is not the one that failed: what the old one's bank said does not hold for it."""
    return bool(context.failures) and all(one.instrument_hash != instrument_hash for one in context.failures)


def _pause(context: DunningContext, category: str, now: datetime) -> str:
    """A pause is worth offering to a customer of a year or more, short of money, with one active subscription."""
    since = context.customer.customer_since
    active = [one for one in context.subscriptions if one.status == "active"]
    short_of_money = category in ("insufficient_funds", "limit_exceeded") and len(context.failures) >= 3
    if short_of_money and since is not None and now - since > timedelta(days=365) and len(active) == 1:
        return str(active[0].pk)
    return ""


def _headline(context: DunningContext, category: str, scored: Score, now: datetime) -> str:
    reason = words_for(category)
    strongest = next((one for one in scored.reasons if one.code.startswith(("history", "attempts", "age", "subscription", "tenure"))), None)
    told = f" {strongest.sentence}" if strongest else ""
    return f"{reason[0].upper()}{reason[1:]}.{told}"


def _next_action(category: str, retry_at: datetime | None, escalate: tuple[str, ...], writes: bool) -> str:
    if escalate:
        return "Look at the whole case, then speak with the customer"
    parts = []
    if writes:
        parts.append("ask for a new card" if category in _ASK_FOR_CARD else "send the message")
    if retry_at is not None:
        parts.append(f"try again {retry_at:%a %d %b}")
    joined = " and ".join(parts)
    return joined[:1].upper() + joined[1:] if joined else "Decide what to do"


def reasons_to_keep(scored: Score) -> tuple[Reason, ...]:
    """The reasons that a case shows: the eight strongest."""
    return scored.reasons[:8]
