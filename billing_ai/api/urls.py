"""The addresses of the API, version 1."""

from __future__ import annotations

from django.urls import path, re_path

from billing_ai.api import acting, hooks, reading, schema, sending
from billing_ai.api.problems import plain_not_found

urlpatterns = [
    path("schema", schema.serve, name="api-schema"),
    path("me", reading.Me.as_view(), name="api-me"),
    path("customers", reading.Customers.as_view(), name="api-customers"),
    path("customers/<str:customer_id>", reading.Customer.as_view(), name="api-customer"),
    path("customers/<str:customer_id>/crm-links/<str:system>", sending.CrmLink.as_view(), name="api-crm-link"),
    path("customers/<str:customer_id>/consent", sending.CustomerConsent.as_view(), name="api-consent"),
    path("crm/<str:system>/<str:crm_id>/customer", reading.CustomerByCrm.as_view(), name="api-customer-by-crm"),
    path("cases", reading.Cases.as_view(), name="api-cases"),
    path("cases/<uuid:case_id>", reading.OneCase.as_view(), name="api-case"),
    path("cases/<uuid:case_id>/snooze", acting.Snooze.as_view(), name="api-snooze"),
    path("cases/<uuid:case_id>/promises", acting.Promises.as_view(), name="api-promises"),
    path("proposals", reading.Proposals.as_view(), name="api-proposals"),
    path("proposals/<uuid:proposal_id>", reading.OneProposal.as_view(), name="api-proposal"),
    path("proposals/<uuid:proposal_id>/approve", acting.Approve.as_view(), name="api-approve"),
    path("proposals/<uuid:proposal_id>/reject", acting.Reject.as_view(), name="api-reject"),
    path("changes", reading.Changes.as_view(), name="api-changes"),
    path("usage-events", sending.UsageEvents.as_view(), name="api-usage-events"),
    path("tickets", sending.Tickets.as_view(), name="api-tickets"),
    path("notes", sending.Notes.as_view(), name="api-notes"),
    path("replies", sending.Replies.as_view(), name="api-replies"),
    path("crm-links", sending.CrmLinks.as_view(), name="api-crm-links"),
    path("webhook-endpoints", hooks.Endpoints.as_view(), name="api-endpoints"),
    path("webhook-endpoints/<uuid:endpoint_id>", hooks.Endpoint.as_view(), name="api-endpoint"),
    path("webhook-endpoints/<uuid:endpoint_id>/rotate-secret", hooks.RotateSecret.as_view(), name="api-rotate-secret"),
    path("webhook-endpoints/<uuid:endpoint_id>/ping", hooks.Ping.as_view(), name="api-ping"),
    path("webhook-endpoints/<uuid:endpoint_id>/deliveries", hooks.Deliveries.as_view(), name="api-deliveries"),
    path("webhook-endpoints/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>/replay", hooks.ReplayOne.as_view(), name="api-replay-one"),
    path("webhook-endpoints/<uuid:endpoint_id>/replay", hooks.Replay.as_view(), name="api-replay"),
    re_path("", plain_not_found),
]
