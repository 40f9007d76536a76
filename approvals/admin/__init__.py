"""The console: queue, review page, releases of many, and plain pages to look things up in. It calls transitions and decides nothing."""

from approvals.admin import looking_up, rules

__all__ = ["looking_up", "rules"]
