"""One case that the tables build on."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from approvals.drafts.facts import Customer, DraftFacts, Invoice
from approvals.drafts.findings import DraftText, Finding
from approvals.drafts.verify import verify
from billing_ai.kernel.money import Money

PAY = "https://harbour.chargebee.com/pages/v4/k77/pay"
CARD = "https://harbour.chargebee.com/pages/v4/k77/update_card"


def facts(locale: str = "en-US", currency: str = "USD", minor: int = 123400, **changes: Any) -> DraftFacts:
    """An invoice eight days past due, of Marcus at Tidepool Labs."""
    base = DraftFacts(
        customer=Customer("Marcus", "Tidepool Labs", locale),
        vendor="Harbour",
        invoice=Invoice("in_771", "QX-4100", Money(minor, currency), date(2025, 9, 2), date(2025, 9, 16)),
        payment_link=PAY,
        update_card_link=CARD,
        sender_name="Dana Whitfield",
        support_email="help@harbour.example",
        today=date(2025, 9, 24),
    )
    return replace(base, **changes)


def mail(
    line: str = "",
    amount: str = "$1,234.00",
    number: str = "QX-4100",
    due: str = "September 16, 2025",
    link: str = PAY,
    name: str = "Marcus",
) -> DraftText:
    """A good mail about that invoice, with one thing changed or one line added."""
    added = f"{line}\n\n" if line else ""
    body = f"Hi {name},\n\nInvoice {number} for {amount} was due on {due} and is still unpaid.\n\n{added}You can pay here: {link}\n\nBest regards,\nDana Whitfield"
    return DraftText(f"Invoice {number}", body)


def rules(draft: DraftText, case: DraftFacts) -> set[str]:
    """The rules that fired, without those that only note."""
    return {finding.rule for finding in verify(draft, case)}


def first(draft: DraftText, case: DraftFacts, rule: str) -> Finding:
    """The first finding of a rule."""
    return next(finding for finding in verify(draft, case) if finding.rule == rule)
