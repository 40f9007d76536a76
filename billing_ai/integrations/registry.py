"""Which adapter serves which port. The whole list is here; the settings decide which of it is used.

Adapters are named by their path and imported on first use: a process that never sends mail never loads the code that does. Only
`approvals.actions` may ask here; what only reads asks `readers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from django.conf import settings
from django.utils.module_loading import import_string

from billing_ai.integrations.ports import CrmSink, HelpdeskPort, MailPort, SmsPort
from billing_ai.kernel.errors import Terminal

_BASE = "billing_ai.integrations"
ADAPTERS: Mapping[str, Mapping[str, str]] = {
    "mail": {"django": f"{_BASE}.email.adapter.DjangoMail"},
    "sms": {"twilio": f"{_BASE}.sms.adapter.TwilioSms"},
    "helpdesk": {"zendesk": f"{_BASE}.zendesk.adapter.ZendeskHelpdesk"},
    "crm": {"salesforce": f"{_BASE}.salesforce.adapter.SalesforceCrm", "hubspot": f"{_BASE}.hubspot.adapter.HubspotCrm"},
}
"""Port → name of an adapter → where it is."""


def chosen(port: str) -> str:
    """The name of the adapter that the settings choose for a port, or empty when the port is not set up. Raises KeyError on no port."""
    ready = {
        "mail": {"django": True},
        "sms": {"twilio": bool(settings.SMS_API_URL)},
        "helpdesk": {"zendesk": bool(settings.ZENDESK_URL)},
        "crm": {"salesforce": bool(settings.SALESFORCE_URL), "hubspot": bool(settings.HUBSPOT_URL)},
    }[port]
    return next((name for name in ADAPTERS[port] if ready[name]), "")


def mail() -> MailPort:
    """Where mail goes out."""
    return cast(MailPort, _make("mail", chosen("mail")))


def sms() -> SmsPort:
    """Where text messages go out. Raises Terminal when no provider is set up."""
    return cast(SmsPort, _make("sms", chosen("sms")))


def helpdesk() -> HelpdeskPort:
    """Where tickets are opened. Raises Terminal when no help desk is set up."""
    return cast(HelpdeskPort, _make("helpdesk", chosen("helpdesk")))


def crm(name: str = "") -> CrmSink:
    """Where scores and tasks go: the named CRM, or the first that is set up. Raises Terminal when there is none."""
    return cast(CrmSink, _make("crm", name or chosen("crm")))


def crms() -> Mapping[str, CrmSink]:
    """Every CRM that is set up, by name: a company may run both."""
    ready = {"salesforce": settings.SALESFORCE_URL, "hubspot": settings.HUBSPOT_URL}
    return {name: crm(name) for name, url in ready.items() if url}


def _make(port: str, name: str) -> object:
    path = ADAPTERS[port].get(name)
    if path is None:
        raise Terminal(f"{port}.not_set_up", f"No {port} is set up, so nothing can go out that way.")
    return import_string(path)()
