"""The addresses of the churn agent's pages."""

from __future__ import annotations

from django.urls import path

from agents.churn.pages.customers import customers
from agents.churn.pages.tuning import health, rule, rules, settings_page
from agents.churn.pages.watching import release, watch

urlpatterns = [
    path("customers/", customers, name="customers"),
    path("churn/", watch, name="churn_watch"),
    path("churn/health/", health, name="churn_health"),
    path("churn/settings/", settings_page, name="churn_settings"),
    path("churn/rules/", rules, name="churn_rules"),
    path("churn/rules/<slug:key>/", rule, name="churn_rule"),
    path("churn/release/<int:pk>/", release, name="churn_release"),
]
