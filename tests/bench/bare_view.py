"""The ceiling: a Django project that does nothing but check Basic auth, parse, and make one INSERT … ON CONFLICT DO NOTHING.

The row has the columns and indexes of our own events, filled with constants where we look into the body, so that only the way there differs.
"""

from __future__ import annotations

import hmac
import json
import os
from base64 import b64decode
from datetime import UTC, datetime

import environ
from django.conf import settings

settings.configure(
    SECRET_KEY="bench" * 10,
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="tests.bench.bare_view",
    DATABASES={"default": {**environ.Env().db_url_config(os.environ["DATABASE_URL"]), "CONN_MAX_AGE": 600}},
    INSTALLED_APPS=[],
    MIDDLEWARE=[],
    USE_TZ=True,
)

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

_AUTH = b"chargebee:demo-webhook-password"
_INSERT = (
    "INSERT INTO bench_bare (chargebee_event_id, event_type, occurred_at, received_at, source, api_version, found_by, chargebee_customer_id,"
    " resources, body_sha256, trace_id, status, lane, not_before, attempt, max_attempts, reason)"
    " VALUES (%s, %s, %s, %s, 'scheduled_job', 'v2', 'webhook', 'cus_1', %s, %s, %s, 'waiting', 2, %s, 0, 8, '')"
    " ON CONFLICT (chargebee_event_id) DO NOTHING"
)
_RESOURCES = json.dumps([{"kind": kind, "id": f"{kind}_1", "version": 1_770_000_000_000} for kind in "abcd"])


def webhook(request: HttpRequest) -> HttpResponse:
    """Check, parse, insert, answer."""
    given = b64decode(request.headers.get("Authorization", "").partition(" ")[2])
    if not hmac.compare_digest(given, _AUTH):
        return HttpResponse(status=401)
    event = json.loads(request.body)
    now = datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [event["id"], event["event_type"], now, now, _RESOURCES, "0" * 64, "0" * 32, now])
    return JsonResponse({"received": event["id"]})


urlpatterns = [path("webhooks/chargebee/", webhook)]
application = get_wsgi_application()
