"""System checks: every kind that rows name must have its code. (Filled at start-up; numbered so that they can be silenced by name.)"""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register


@register()
def actions_are_complete(**_: Any) -> list[CheckMessage]:
    """E001: an action that the registry names lacks a part of the contract."""
    from approvals.actions import ACTIONS

    messages: list[CheckMessage] = []
    for key, action in ACTIONS.items():
        if action.key != key:
            messages.append(Error(f"Action {key} calls itself {action.key}.", id="approvals.E001"))
    return messages
