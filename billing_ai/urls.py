"""Every address the web process answers."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from billing_ai import health
from billing_ai.inbox import replies

urlpatterns = [
    path("healthz", health.alive),
    path("readyz", health.ready),
    path("metrics", health.metrics),
    path("webhooks/", include("billing_ai.inbox.urls")),
    path("unsubscribe/<str:token>/", replies.unsubscribe, name="unsubscribe"),
    path("api/v1/", include("billing_ai.api.urls")),
    path("", RedirectView.as_view(pattern_name="console:queue"), name="home"),
    path("console/", include("billing_ai.console.urls")),
    path("console/", admin.site.urls),
]
