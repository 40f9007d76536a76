"""One service for mail, SMS and call tasks: may this customer be contacted, and when at the earliest?"""

from __future__ import annotations

from datetime import datetime

from approvals.contract import Check
from approvals.policy import case_view, rules
from approvals.policy.contact_rules import Question, next_allowed_minute
from approvals.policy.contact_rules import may_contact as all_checks


def may_contact(
    customer_id: str, channel: str, kind: str, moment: datetime, *, invoice_id: str = "", address_hash: str = "", proposal_id: str = ""
) -> Check:
    """Allowed, allowed later (`wait`, with the next allowed minute), or denied, with the rule and the sentence.

    Without an invoice, a dispute or promise about any of the customer's invoices counts. `address_hash` asks the suppression list about the
    address itself too.
    """
    checks = contact_checks(customer_id, channel, kind, moment, invoice_id=invoice_id, address_hash=address_hash, proposal_id=proposal_id)
    for outcome in ("deny", "wait", "person"):
        found = next((check for check in checks if check.outcome == outcome), None)
        if found is not None:
            return found
    return Check("contact", "allow", "The customer may be contacted now.", next_allowed_minute(checks, moment))


def contact_checks(
    customer_id: str, channel: str, kind: str, moment: datetime, *, invoice_id: str = "", address_hash: str = "", proposal_id: str = ""
) -> tuple[Check, ...]:
    """Every rule's own answer, for a page that shows them all."""
    view = case_view.load(customer_id, invoice_id, now=moment, address_hash=address_hash, proposal_id=proposal_id)
    return all_checks(Question(channel, kind, moment), view.contact, rules.current(moment))
