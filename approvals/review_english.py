"""What a message says, for the colleague who does not read its language: its words with slots to be put into English, then the facts in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from approvals import case_facts
from approvals.contract import Words
from approvals.drafts.facts import DraftFacts
from approvals.drafts.render import RenderedMessage, SlotDraft, SlotError, render
from approvals.models import Proposal
from approvals.people import Refused
from approvals.review import live_facts
from approvals.revisions import read_words
from audit.seal import Erased, KeptNoLonger

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Foreign:
    """The current words of a proposal, the live facts for its slots, and the names that no translator may see."""

    proposal: Proposal
    words: Words
    facts: DraftFacts
    names: tuple[str, ...]


def foreign_words(proposal_id: UUID, user: User) -> Foreign:
    """Raises Refused, in words, when there is no such text or its facts cannot be had. That the name was read is written down."""
    proposal = Proposal.objects.select_related("current", "case").filter(pk=proposal_id).first()
    if proposal is None or proposal.current is None:
        raise Refused("no_such_proposal", "This proposal does not exist.")
    try:
        words = read_words(proposal.current)
    except KeptNoLonger as error:
        raise Refused("kept_no_longer", "The words of this case are kept no longer.") from error
    except Erased as error:
        raise Refused("erased", "The words were erased with the customer.") from error
    if words is None:
        raise Refused("no_words", "There is no message in this proposal.")
    live, _, away = live_facts(proposal.case, user)
    if live is None:
        raise Refused("chargebee_away", away or "There are no live facts for this case.")
    customer = live.customer
    names = tuple(name for name in (customer.first_name, customer.last_name, customer.company) if name)
    return Foreign(proposal, words, live.with_retry(case_facts.planned_retry(proposal)), names)


def rendered_in_english(foreign: Foreign, subject: str, body: str) -> RenderedMessage | None:
    """English words with the facts written as an English reader writes them; None when a slot has no fact."""
    facts = replace(foreign.facts, customer=replace(foreign.facts.customer, locale="en-GB"))
    try:
        return render(SlotDraft(subject, body, foreign.words.channel), facts)
    except SlotError:
        return None
