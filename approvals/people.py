"""Who may do what, asked in one place. Permissions come from the groups that a migration makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Role = Literal["specialist", "lead"]

GROUPS: dict[str, tuple[str, ...]] = {
    "specialist": ("approvals.work_case", "approvals.read_personal"),
    "lead": ("approvals.work_case", "approvals.lead_case", "approvals.read_personal", "approvals.change_rules"),
    "finance": ("approvals.read_personal",),
    "auditor": (),
    "integration": (),
}
"""Each role's own permissions, besides viewing. Everyone in the console may view; an integration only has API scopes."""


class Refused(Exception):
    """It was not done, and nothing changed. `code` is stable; `sentence` says why and what to do instead."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def role_of(user: User) -> Role:
    """The role in which the user works on cases. Raises Refused for whoever may only look, and for a disabled user."""
    if not user.is_active:
        raise Refused("user_disabled", "This account is disabled.")
    if user.has_perm("approvals.lead_case"):
        return "lead"
    if user.has_perm("approvals.work_case"):
        return "specialist"
    raise Refused("not_allowed", "Your role may look at cases, but not decide on them.")


def working_role(user: User) -> Role | None:
    """The same; None for whoever may only look."""
    try:
        return role_of(user)
    except Refused:
        return None


def require_lead(user: User) -> Role:
    """`lead`. Raises Refused for everyone else."""
    if role_of(user) != "lead":
        raise Refused("needs_lead", "Only a lead may do this. Escalate the case to a lead.")
    return "lead"


def is_for_a_lead(role: Role, *, role_needed: str, approvals_needed: int, is_approved_once: bool) -> bool:
    """Whether an approval in this role would not count: of two, a specialist may give the first; of one, those within the own limit."""
    if role == "lead":
        return False
    return is_approved_once if approvals_needed > 1 else role_needed == "lead"
