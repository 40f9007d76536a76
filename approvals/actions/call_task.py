"""Ask the customer's owner, by a task in the CRM, to call the customer.

The customer hears from us by it, so the rules of contact decide whether and when; the owner logs the call itself afterwards.
"""

from __future__ import annotations

from approvals.actions.crm_task import OwnerTask

ACTION = OwnerTask("call_task", "Call task", channel="call")
