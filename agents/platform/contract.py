"""The one shape of an agent: context (reads) → decide (pure) → proposal (values)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from agents.models import AgentRun
from agents.platform.llm.requests import DraftAnswer, DraftRequest
from approvals.contract import CaseDraft, ProposalDraft
from approvals.drafts.facts import DraftFacts


class NothingToDo(Exception):
    """The subject needs nothing of this agent now; the text says why, for the run's row."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a run looks at."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Drafting:
    """A message that the agent wants written for one step, and the facts it will be rendered with (in memory only)."""

    step: str
    request: DraftRequest
    facts: DraftFacts


Context = TypeVar("Context")
Decision = TypeVar("Decision")


class Agent(Protocol[Context, Decision]):
    """One agent. `decide`, `propose` and `facts_hash` are pure; `subjects`, `due`, `load_context` and `drafting` read; `remember` writes."""

    name: str
    label: str
    events: frozenset[str]

    def subjects(self, event_type: str, customer_id: str, invoice_ids: Sequence[str]) -> Sequence[Subject]:
        """What to look at because of an event, from the facts as just fetched."""

    def due(self, now: datetime) -> Sequence[tuple[Subject, str, str]]:
        """(subject, customer id, cause) of what is due without an event."""

    def load_context(self, run: AgentRun) -> Context:
        """Read everything the decision rests on. Raises NothingToDo, StaleFacts, Retryable, Terminal."""

    def decide(self, context: Context, now: datetime) -> Decision:
        """The decision. Pure: the same context and moment give the same decision."""

    def drafting(self, context: Context, decision: Decision, run: AgentRun) -> Sequence[Drafting]:
        """The messages to be written; empty when none is. May fetch what they are rendered with. Raises as `load_context`."""

    def propose(
        self, context: Context, decision: Decision, answers: Mapping[str, DraftAnswer]
    ) -> tuple[CaseDraft | None, Sequence[ProposalDraft], Mapping[str, Any]]:
        """The case, the proposals, and the derived values to keep on the run. No case: there is nothing to propose, the values are kept."""

    def remember(self, context: Context, decision: Decision, run: AgentRun) -> None:
        """Write what the agent keeps in tables of its own. Called in the transaction that ends the run, before its case is submitted."""

    def facts_hash(self, context: Context) -> str:
        """The hash of the facts that the decision rests on."""
