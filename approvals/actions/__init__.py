"""What can be done outside, one file an action. The registry is the whole list."""

from __future__ import annotations

from approvals.actions import (
    add_comment,
    alert,
    answer_help,
    call_task,
    collect_payment,
    create_ticket,
    crm_push,
    crm_task,
    dunning_hold,
    pause_subscription,
    send_message,
)
from approvals.actions.contract import Action

ACTIONS: dict[str, Action] = {
    action.key: action
    for action in (
        send_message.ACTION,
        collect_payment.ACTION,
        add_comment.ACTION,
        dunning_hold.PAUSE,
        dunning_hold.RESUME,
        create_ticket.ACTION,
        pause_subscription.ACTION,
        answer_help.HELP,
        answer_help.CONFIRM_STOP,
        crm_task.ACTION,
        call_task.ACTION,
        alert.ACTION,
        crm_push.ACTION,
    )
}
"""Action key → the action. `approvals.checks` holds each against the contract at start-up."""
