"""The addresses of the churn agent's pages."""

from __future__ import annotations

from django.urls import path

from agents.churn.pages import customers, tuning, watching

urlpatterns = [
    path("customers/", customers.customers, name="customers"),
    path("churn/", watching.watch, name="churn_watch"),
    path("churn/health/", tuning.health, name="churn_health"),
    path("churn/settings/", tuning.settings_page, name="churn_settings"),
    path("churn/rules/", tuning.rules, name="churn_rules"),
    path("churn/rules/<slug:key>/", tuning.rule, name="churn_rule"),
    path("churn/release/<int:pk>/", watching.release, name="churn_release"),
]
