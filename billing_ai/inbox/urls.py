"""Where Chargebee's webhooks and customers' text messages arrive."""

from django.urls import path

from billing_ai.inbox import replies, views

urlpatterns = [
    path("sms/", replies.text_message, name="sms-webhook"),
    path("chargebee/", views.chargebee_webhook, name="chargebee-webhook"),
    path("chargebee/<str:secret>/", views.chargebee_webhook, name="chargebee-webhook-secret"),
]
