"""The look of the console and its navigation. Everything it names is served from here: no font, script or picture from elsewhere."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

# Petrol on cool greys. The 600 carries white text at more than 5:1, the 500 is read on dark at more than 5:1.
_PRIMARY = {
    "50": "oklch(97.6% .012 205)",
    "100": "oklch(94.2% .03 205)",
    "200": "oklch(89% .055 208)",
    "300": "oklch(81.5% .085 210)",
    "400": "oklch(75% .105 212)",
    "500": "oklch(70% .11 214)",
    "600": "oklch(47.5% .088 222)",
    "700": "oklch(41.5% .078 224)",
    "800": "oklch(35.5% .065 226)",
    "900": "oklch(30% .053 228)",
    "950": "oklch(22% .04 230)",
}
_BASE = {
    "50": "oklch(98.3% .003 220)",
    "100": "oklch(96.4% .005 220)",
    "200": "oklch(92.2% .008 222)",
    "300": "oklch(86.5% .012 224)",
    "400": "oklch(71.5% .02 226)",
    "500": "oklch(52.5% .024 228)",
    "600": "oklch(43.5% .026 230)",
    "700": "oklch(36% .028 232)",
    "800": "oklch(26.8% .026 234)",
    "900": "oklch(20.2% .022 236)",
    "950": "oklch(15% .018 238)",
}


def may_see_cases(request: HttpRequest) -> bool:
    """The queue and all that belongs to it."""
    return request.user.has_perm("approvals.view_case")


def may_change_rules(request: HttpRequest) -> bool:
    """Policies, limits and phases are looked at by those who see them, changed by leads."""
    return request.user.has_perm("approvals.view_policy")


def may_see_audit(request: HttpRequest) -> bool:
    """The ledger is for leads and auditors."""
    return request.user.has_perm("audit.view_entry")


def _sees(permission: str) -> Any:
    return lambda request: request.user.has_perm(permission)


def _item(title: str, icon: str, name: str, permission: Any, **more: Any) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(name), "permission": permission, **more}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Billing AI",
    "SITE_HEADER": "Billing AI",
    "SITE_SUBHEADER": "Recovery console",
    "SITE_URL": None,
    "SITE_ICON": {"light": lambda request: static("console/mark.svg"), "dark": lambda request: static("console/mark.svg")},
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("console/mark.svg")}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": False,
    "BORDER_RADIUS": "7px",
    "COLORS": {"base": _BASE, "primary": _PRIMARY},
    "STYLES": [lambda request: static("console/console.css")],
    "SCRIPTS": [lambda request: static("console/console.js"), lambda request: static("console/editor.js")],
    "DASHBOARD_CALLBACK": "billing_ai.console.dashboard.fill",
    "LOGIN": {"image": lambda request: static("console/login.svg")},
    "SIDEBAR": {
        "show_search": False,
        "command_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Work",
                "items": [
                    _item("Queue", "inbox", "console:queue", may_see_cases),
                    _item("Customers", "groups", "console:customers", may_see_cases),
                    _item("Today", "monitoring", "admin:index", None),
                    _item("Parked", "report", "console:parked", may_see_cases),
                    _item("Chargebee", "cable", "console:chargebee", may_see_cases),
                    _item("Closed cases", "task_alt", "admin:approvals_case_changelist", may_see_cases),
                ],
            },
            {
                "title": "What happened",
                "items": [
                    _item("Proposals", "draft", "admin:approvals_proposal_changelist", _sees("approvals.view_proposal")),
                    _item("Executions", "outbox", "admin:approvals_execution_changelist", _sees("approvals.view_execution")),
                    _item("Outcomes", "payments", "admin:approvals_outcome_changelist", _sees("approvals.view_outcome")),
                    _item("Promises", "handshake", "admin:approvals_promise_changelist", _sees("approvals.view_promise")),
                    _item("Events", "webhook", "admin:inbox_event_changelist", _sees("inbox.view_event")),
                    _item("Agent runs", "smart_toy", "admin:agents_agentrun_changelist", _sees("agents.view_agentrun")),
                    _item("Model calls", "forum", "admin:agents_llmcall_changelist", _sees("agents.view_llmcall")),
                    _item("Audit ledger", "lock_clock", "admin:audit_entry_changelist", may_see_audit),
                ],
            },
            {
                "title": "Rules",
                "items": [
                    _item("Policies", "gavel", "admin:approvals_policy_changelist", may_change_rules),
                    _item("Limits", "speed", "admin:approvals_limit_changelist", may_change_rules),
                    _item("Phases", "stairs", "admin:approvals_phase_changelist", may_change_rules),
                    _item("Churn and health", "favorite", "console:churn_watch", may_see_cases),
                    _item("Releases", "new_releases", "admin:agents_release_changelist", _sees("agents.view_release")),
                    _item("Prompts", "edit_note", "console:prompts", _sees("agents.view_release")),
                    _item("House style", "palette", "console:brand", may_change_rules),
                    _item("Consent", "how_to_reg", "admin:approvals_consent_changelist", _sees("approvals.view_consent")),
                    _item("Do not contact", "block", "admin:approvals_suppression_changelist", _sees("approvals.view_suppression")),
                ],
            },
            {
                "title": "Other systems",
                "collapsible": True,
                "items": [
                    _item("API clients", "key", "admin:api_apiclient_changelist", _sees("api.view_apiclient")),
                    _item("Tokens", "vpn_key", "admin:api_apitoken_changelist", _sees("api.view_apitoken")),
                    _item("Webhooks", "send", "admin:api_webhookendpoint_changelist", _sees("api.view_webhookendpoint")),
                    _item("Deliveries", "local_shipping", "admin:api_webhookdelivery_changelist", _sees("api.view_webhookdelivery")),
                    _item("Usage", "bar_chart", "admin:signals_usageevent_changelist", _sees("signals.view_usageevent")),
                    _item("Tickets told", "support", "admin:signals_externalticket_changelist", _sees("signals.view_externalticket")),
                    _item("Notes and replies", "forum", "admin:signals_replynote_changelist", _sees("signals.view_replynote")),
                    _item("CRM records", "link", "admin:signals_crmlink_changelist", _sees("signals.view_crmlink")),
                    _item("Fields of the CRM", "swap_horiz", "console:crm_fields", may_see_cases),
                ],
            },
            {
                "title": "Facts from Chargebee",
                "collapsible": True,
                "items": [
                    _item("Customers", "group", "admin:facts_customer_changelist", _sees("facts.view_customer")),
                    _item("Invoices", "receipt_long", "admin:facts_invoice_changelist", _sees("facts.view_invoice")),
                    _item("Subscriptions", "autorenew", "admin:facts_subscription_changelist", _sees("facts.view_subscription")),
                    _item("Transactions", "credit_card", "admin:facts_transaction_changelist", _sees("facts.view_transaction")),
                    _item(
                        "Retry ledger", "history", "admin:approvals_collectionattempt_changelist", _sees("approvals.view_collectionattempt")
                    ),
                ],
            },
            {
                "title": "People",
                "collapsible": True,
                "items": [
                    _item("Users", "person", "admin:auth_user_changelist", _sees("auth.view_user")),
                    _item("Groups", "badge", "admin:auth_group_changelist", _sees("auth.view_group")),
                ],
            },
        ],
    },
}
