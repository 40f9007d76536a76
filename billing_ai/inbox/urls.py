"""Where Chargebee's webhooks arrive."""

from django.urls import path

from billing_ai.inbox import views

urlpatterns = [
    path("chargebee/", views.chargebee_webhook, name="chargebee-webhook"),
    path("chargebee/<str:secret>/", views.chargebee_webhook, name="chargebee-webhook-secret"),
]
