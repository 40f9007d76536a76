"""The console's addresses, those of the approvals room included."""

from __future__ import annotations

from django.urls import path

from agents.brand_pages import preview
from agents.churn.pages.urls import urlpatterns as churn_pages
from agents.prompt_pages import prompts
from approvals.admin.urls import urlpatterns as approvals_pages
from billing_ai.api.console import urlpatterns as api_pages
from billing_ai.console import customer, gloss, parked, site_setup

app_name = "console"
urlpatterns = [
    *approvals_pages,
    *churn_pages,
    path("prompts/", prompts, name="prompts"),
    path("brand/", preview, name="brand"),
    path("customers/<str:customer_id>/", customer.customer, name="customer"),
    *api_pages,
    path("proposal/<uuid:proposal_id>/english/", gloss.english, name="english"),
    path("parked/", parked.parked, name="parked"),
    path("parked/<slug:kind>/<str:pk>/", parked.decide, name="decide_parked"),
    path("chargebee/", site_setup.page, name="chargebee"),
    path("chargebee/webhook/", site_setup.register_webhook, name="register_webhook"),
]
