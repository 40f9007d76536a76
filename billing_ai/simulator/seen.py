"""What the outside world has seen of us: every write, mail, message and ticket, in order."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator.site import Site


def note(site: Site, channel: str, what: str, subject: str, details: Any, status: int) -> None:
    """Add a line: `channel` is api, mail, sms, helpdesk, salesforce, hubspot, page or webhook."""
    number = site.store.next_number("seen")
    line = {"id": f"seen_{number}", "number": number, "at": site.now(), "channel": channel, "what": what, "subject": subject}
    site.store.put("seen", line | {"details": details, "http_status": status})
