"""Cases and proposals; policies; contact and retry ledgers."""

from approvals.models.cases import Case, Contact, Note, Outcome, Promise
from approvals.models.crm import CrmBatch, CrmField
from approvals.models.figures import Figures
from approvals.models.policy import (
    CollectionAttempt,
    Consent,
    DailyTake,
    DailyUse,
    Instrument,
    KillSwitch,
    Limit,
    Phase,
    Policy,
    RetryReservation,
    RuleStamp,
    Suppression,
)
from approvals.models.proposals import Decision, Execution, ExecutionAttempt, Proposal, Revision

__all__ = [
    "Case",
    "CollectionAttempt",
    "Consent",
    "Contact",
    "CrmBatch",
    "CrmField",
    "DailyTake",
    "DailyUse",
    "Decision",
    "Execution",
    "ExecutionAttempt",
    "Figures",
    "Instrument",
    "KillSwitch",
    "Limit",
    "Note",
    "Outcome",
    "Phase",
    "Policy",
    "Promise",
    "Proposal",
    "RetryReservation",
    "Revision",
    "RuleStamp",
    "Suppression",
]
