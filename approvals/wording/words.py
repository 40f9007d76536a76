"""What the console calls things. Keys are those of the rows; a key that is not here is shown as it is, with its underscores as spaces."""

from __future__ import annotations

from typing import Final

CATEGORIES: Final[dict[str, str]] = {
    "insufficient_funds": "Insufficient funds",
    "expired_card": "Card expired",
    "do_not_honor": "Declined by the bank, no reason given",
    "auth_required": "The bank asks for authentication",
    "limit_exceeded": "Limit of the card exceeded",
    "invalid_card": "Card details wrong",
    "updated_card_available": "The bank has issued a new card",
    "no_payment_method": "No card or account on file",
    "closed_account": "Account closed",
    "restricted_card": "Card restricted",
    "not_permitted": "Card not allowed for this",
    "lost_stolen": "Card reported lost or stolen",
    "fraud": "Suspected fraud",
    "revocation": "Permission withdrawn by the customer",
    "mandate": "No valid mandate",
    "pin": "PIN missing or wrong",
    "cancelled": "Cancelled by the customer",
    "deceased": "The account holder has died",
    "processor_error": "Trouble at the payment processor",
    "network_limit": "Limit of the card network reached",
    "invalid_transaction": "Not a valid transaction for this card",
    "config_error": "Our gateway is set up wrongly",
    "duplicate": "Looked like a duplicate",
    "test": "Test card",
    "unknown": "Unknown reason",
    "": "Not classified",
}

ACTIONS: Final[dict[str, tuple[str, str]]] = {
    "send_message": ("Message", "mail"),
    "collect_payment": ("Payment retry", "autorenew"),
    "add_comment": ("Comment in Chargebee", "comment"),
    "pause_dunning": ("Pause dunning", "pause_circle"),
    "resume_dunning": ("Resume dunning", "play_circle"),
    "create_ticket": ("Help-desk ticket", "confirmation_number"),
    "pause_subscription": ("Pause the subscription", "motion_photos_paused"),
    "crm_task": ("CRM task", "assignment_ind"),
    "call_task": ("Call task", "call"),
    "alert": ("Alert colleagues", "notification_important"),
    "crm_push": ("Scores into the CRM", "sync_alt"),
}

STATUSES: Final[dict[str, tuple[str, str]]] = {
    # proposals
    "observed": ("Observed only", "quiet"),
    "blocked": ("Blocked by a rule", "bad"),
    "waiting": ("Waiting for a person", "warn"),
    "waiting_second": ("Waiting for a second person", "warn"),
    "approved": ("Approved, not yet out", "info"),
    "executing": ("Under way", "info"),
    "done": ("Done", "good"),
    "declined": ("Declined", "bad"),
    "failed": ("Failed", "bad"),
    "unknown": ("Outcome unknown", "bad"),
    "rejected": ("Rejected", "quiet"),
    "withdrawn": ("Withdrawn", "quiet"),
    "expired": ("Expired", "quiet"),
    # cases
    "open": ("Open", "warn"),
    "promised": ("Promised", "info"),
    "disputed": ("Disputed", "warn"),
    "recovered": ("Recovered", "good"),
    "closed": ("Closed", "quiet"),
    # promises
    "kept": ("Kept", "good"),
    "part_kept": ("Partly kept", "warn"),
    "broken": ("Broken", "bad"),
    # rows that wait for a worker
    "leased": ("Being worked on", "info"),
    "parked": ("Parked", "bad"),
    "person": ("A person must settle it", "bad"),
    "ignored": ("Ignored", "quiet"),
    "dropped": ("Dropped", "quiet"),
    "skipped": ("Skipped", "quiet"),
    # releases, calls
    "offered": ("Offered", "info"),
    "live": ("Live", "good"),
    "retired": ("Retired", "quiet"),
    "ok": ("Answered", "good"),
    "started": ("Started", "info"),
}

CHECK_OUTCOMES: Final[dict[str, tuple[str, str, str]]] = {
    "allow": ("Allowed", "good", "check_circle"),
    "person": ("A person decides", "info", "person"),
    "wait": ("Later", "warn", "schedule"),
    "deny": ("Not allowed", "bad", "block"),
}

CREDITED: Final[dict[str, str]] = {
    "retry": "Our retry",
    "email": "Our mail",
    "sms": "Our SMS",
    "chargebee": "Chargebee's own dunning",
    "customer": "The customer unprompted",
}

LIMITS: Final[dict[str, str]] = {
    "contact.frequency": "Contacts in the window, over all channels",
    "limits.messages_per_invoice": "Messages about this invoice",
    "limits.attempts_per_invoice": "Retries of ours on this invoice",
    "limits.daily_count": "Actions of this agent today",
}

PHASES: Final[dict[str, str]] = {"observe": "Observe", "assist": "Assist", "automate": "Automate"}


def plain(key: str) -> str:
    """A key as words: `broken_promise` → `Broken promise`."""
    return key.replace("_", " ").replace(".", " · ").strip().capitalize()


def category(key: str) -> str:
    """Why the payment failed, for a person."""
    return CATEGORIES.get(key) or plain(key)


def action(key: str) -> str:
    """What would be done, for a person."""
    return ACTIONS[key][0] if key in ACTIONS else plain(key)


def limit(rule: str) -> str:
    """What a counted rule counts. `retry.window.visa` counts tries on one card in its network's own window."""
    if rule.startswith("retry.window."):
        return f"Tries on this card in the window of {rule.removeprefix('retry.window.').replace('_', ' ').capitalize()}"
    return LIMITS.get(rule) or plain(rule)


def action_icon(key: str) -> str:
    """The Material symbol that stands for an action."""
    return ACTIONS[key][1] if key in ACTIONS else "bolt"


def status(key: str) -> tuple[str, str]:
    """The words for a status and its tone: good, warn, bad, info or quiet."""
    return STATUSES.get(key) or (plain(key), "quiet")
