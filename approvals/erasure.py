"""What colleagues and other systems wrote about a customer outside the sealed words: blanked when the customer is erased.

None of it is ever in the ledger, which could not be blanked.
"""

from __future__ import annotations

import re

from django.db.models import Q

from approvals.models import Case, Decision, Execution, ExecutionAttempt, Proposal, Suppression
from billing_ai.signals.models import WAITING_ROOMS, CrmLink, UsageEvent

ERASED = "erased"
_EVENT_NAME = re.compile(r"[a-z0-9]+([._:/-][a-z0-9]+)*")
"""What a usage event is called by a program, such as report.exported. Anything else may have been written by a person."""


def erase(customer_id: str) -> None:
    """Blank every free text of this customer, in the rows and in their histories. Call it inside the erasing transaction."""
    proposals = Proposal.objects.filter(chargebee_customer_id=customer_id)
    executions = Execution.objects.filter(proposal__chargebee_customer_id=customer_id)
    Decision.objects.filter(proposal__in=proposals).exclude(note="").update(note=ERASED)
    executions.exclude(reason="").update(reason=ERASED)
    ExecutionAttempt.objects.filter(execution__in=executions).exclude(sentence="").update(sentence=ERASED)
    proposals.exclude(status_reason="").update(status_reason=ERASED)
    Proposal.history.filter(chargebee_customer_id=customer_id).update(status_reason="", history_change_reason=ERASED)
    # Some entries know the customer by a number only: that to which our messages went.
    theirs = Q(chargebee_customer_id=customer_id)
    marks = set(executions.exclude(to_mark="").values_list("to_mark", flat=True))
    if marks:
        theirs |= Q(address_hash__in=marks)
    Suppression.objects.filter(theirs).exclude(reason="").update(reason=ERASED)
    Suppression.history.filter(theirs).update(reason="", history_change_reason=ERASED)
    # A tag is a word of a colleague's own choosing.
    Case.objects.filter(chargebee_customer_id=customer_id).update(tags=[])
    Case.history.filter(chargebee_customer_id=customer_id).update(tags=[])
    _erase_heard(customer_id)


def _erase_heard(customer_id: str) -> None:
    """What other systems told: sealed words, also those still waiting under another key, and what a sender wrote in a field meant for ids.

    How often the product was used is kept, under the names that programs give.
    """
    named = Q(customer_system="chargebee", customer_ref=customer_id)
    for system, crm_id in CrmLink.objects.filter(chargebee_customer_id=customer_id).values_list("system", "crm_id"):
        named |= Q(customer_system=system, customer_ref=crm_id)
    for room in WAITING_ROOMS:
        rows = room._default_manager.filter(Q(chargebee_customer_id=customer_id) | Q(named, chargebee_customer_id=""))
        columns = {field.name for field in room._meta.get_fields()}
        rows.exclude(reason="").update(reason=ERASED)
        blank = {name: None for name in ("sealed_text", "sealed_subject") if name in columns} | (
            {"author": ""} if "author" in columns else {}
        )
        if blank:
            rows.update(**blank)
    usage = UsageEvent.objects.filter(Q(chargebee_customer_id=customer_id) | Q(named, chargebee_customer_id=""))
    for column, instead in (("name", ERASED), ("unit", "")):
        written = [text for text in usage.values_list(column, flat=True).distinct() if text and not _EVENT_NAME.fullmatch(text)]
        usage.filter(**{f"{column}__in": written}).update(**{column: instead})
