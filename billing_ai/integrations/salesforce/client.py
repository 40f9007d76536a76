"""How Salesforce is called: a bearer token, JSON both ways, over the pooled client.

simple-salesforce brings its own `requests` sessions and errors; what is taken from it is its SOQL quoting, where a home-made one goes wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from django.conf import settings

from billing_ai.integrations.rest import RestVendor, entry
from billing_ai.integrations.salesforce.errors import log_in_meaning, salesforce_meaning
from billing_ai.kernel.errors import Terminal

API_VERSION = "v62.0"
ACCOUNT_KEY_FIELD = "Chargebee_Customer_Id__c"
"""External id on Account: Chargebee's customer id."""
TASK_KEY_FIELD = "Billing_Effect_Key__c"
"""External id on Task: the key of the effect that made it."""
ACCOUNT_BY_KEY = "SELECT Id FROM Account WHERE Chargebee_Customer_Id__c = {} LIMIT 1"
TASK_BY_KEY = "SELECT Id, CreatedDate FROM Task WHERE Billing_Effect_Key__c = {} LIMIT 1"


_LOCK = threading.Lock()
_tokens: dict[tuple[str, str, str], str] = {}
"""Access tokens by instance, client and secret, as long as this process lives: in memory only, since each opens the whole CRM."""


def salesforce() -> RestVendor:
    """The configured org. Raises Terminal when none is set, Retryable or Terminal when it gives no access token."""
    can_log_in = bool(settings.SALESFORCE_CLIENT_ID and settings.SALESFORCE_CLIENT_SECRET)
    if not (settings.SALESFORCE_URL and (can_log_in or settings.SALESFORCE_TOKEN)):
        raise Terminal("salesforce.not_set_up", "No Salesforce is set up.")
    return RestVendor(
        vendor="salesforce",
        label="Salesforce",
        base_url=f"{_instance()}/services/data/{API_VERSION}",
        headers=_bearer(_access_token() if can_log_in else settings.SALESFORCE_TOKEN),
        refine=salesforce_meaning,
        renew=_renewed if can_log_in else None,
    )


def _instance() -> str:
    return str(settings.SALESFORCE_URL.rstrip("/"))


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Accept": "application/json"}


def _renewed(refused: Mapping[str, str]) -> Mapping[str, str]:
    """The headers with a new token in place of one that is no longer taken."""
    return _bearer(_access_token(instead_of=refused["Authorization"].removeprefix("Bearer ")))


def _access_token(instead_of: str = "") -> str:
    """A token by OAuth's client credentials flow; asked for once, not by each thread, when the old one has run out."""
    whose = (_instance(), str(settings.SALESFORCE_CLIENT_ID), str(settings.SALESFORCE_CLIENT_SECRET))
    with _LOCK:
        held = _tokens.get(whose)
        if held is None or held == instead_of:
            held = _tokens[whose] = _log_in(*whose)
        return held


def _log_in(instance: str, client: str, secret: str) -> str:
    vendor = RestVendor("salesforce", "Salesforce", instance, {"Accept": "application/json"}, refine=log_in_meaning)
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
    token = entry(vendor.call("POST", "/services/oauth2/token", has_effect=False, form=form).content, "access_token")
    if not isinstance(token, str) or not token:
        raise vendor.unreadable(has_effect=False)
    return token
