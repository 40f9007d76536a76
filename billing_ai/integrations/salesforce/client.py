"""How Salesforce is called: a bearer token, JSON both ways, over the pooled client.

simple-salesforce brings its own `requests` sessions and errors; what is taken from it is its SOQL quoting, where a home-made one goes wrong.
"""

from __future__ import annotations

from django.conf import settings

from billing_ai.integrations.rest import RestVendor
from billing_ai.integrations.salesforce.errors import salesforce_meaning
from billing_ai.kernel.errors import Terminal

API_VERSION = "v62.0"
ACCOUNT_KEY_FIELD = "Chargebee_Customer_Id__c"
"""External id on Account: Chargebee's customer id."""
TASK_KEY_FIELD = "Billing_Effect_Key__c"
"""External id on Task: the key of the effect that made it."""
ACCOUNT_BY_KEY = "SELECT Id FROM Account WHERE Chargebee_Customer_Id__c = {} LIMIT 1"
TASK_BY_KEY = "SELECT Id, CreatedDate FROM Task WHERE Billing_Effect_Key__c = {} LIMIT 1"


def salesforce() -> RestVendor:
    """The configured org. Raises Terminal when none is set."""
    if not (settings.SALESFORCE_URL and settings.SALESFORCE_TOKEN):
        raise Terminal("salesforce.not_set_up", "No Salesforce is set up.")
    return RestVendor(
        vendor="salesforce",
        label="Salesforce",
        base_url=f"{settings.SALESFORCE_URL.rstrip('/')}/services/data/{API_VERSION}",
        headers={"Authorization": f"Bearer {settings.SALESFORCE_TOKEN}", "Accept": "application/json"},
        refine=salesforce_meaning,
    )
