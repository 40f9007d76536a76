"""dj-stripe's own webhook view in a Django project as its documentation sets it up. Runs in an environment of its own, which the bench makes.

DJSTRIPE_ACCEPT_ONLY hands the event to a callback that does nothing (dj-stripe's way to defer processing to a queue). Without it the event is processed
before the answer; what dj-stripe then asks Stripe for is answered in process, as Chargebee is for ours.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import parse_qs, unquote, urlsplit

import django
from django.conf import settings

from tests.bench.bodies import stripe_event

SECRET = "whsec_of_the_bench"
ENDPOINT = "3a6b5a0e-2f0d-4d6e-9d56-5a0d1b9a7c11"


def ignore(event: object, api_key: str | None = None) -> None:
    """The callback of accept-only."""


_url = urlsplit(os.environ["DATABASE_URL"])
_is_local = not _url.hostname
settings.configure(
    SECRET_KEY="bench" * 10,
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="tests.bench.djstripe_app",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _url.path[1:],
            "USER": unquote(_url.username or ""),
            "PASSWORD": unquote(_url.password or ""),
            "HOST": parse_qs(_url.query).get("host", [""])[0] if _is_local else _url.hostname,
            "PORT": str(_url.port or ""),
            "CONN_MAX_AGE": 600,
        }
    },
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "djstripe"],
    MIDDLEWARE=[],
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    STRIPE_TEST_SECRET_KEY="sk_test_" + "b" * 24,
    STRIPE_LIVE_MODE=False,
    DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
    **({"DJSTRIPE_WEBHOOK_EVENT_CALLBACK": "tests.bench.djstripe_app.ignore"} if os.environ.get("DJSTRIPE_ACCEPT_ONLY") else {}),
)
django.setup()

import json

import stripe
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

urlpatterns = [path("stripe/", include("djstripe.urls", namespace="djstripe"))]
application = get_wsgi_application()


class InProcess(stripe.HTTPClient):
    """Stripe, answering at once with the customer of the bench's events."""

    name = "bench"

    def request(self, method: str, url: str, headers: object, post_data: object = None) -> tuple[str, int, dict[str, str]]:
        """The customer, whatever is asked for. Raises LookupError for anything else."""
        if "/v1/customers/" not in url:
            raise LookupError(url)
        return _CUSTOMER, 200, {"request-id": "req_bench"}

    def close(self) -> None:
        """Nothing is open."""


_CUSTOMER = json.dumps(stripe_event()["data"]["object"])
if not os.environ.get("DJSTRIPE_ACCEPT_ONLY"):
    stripe.default_http_client = InProcess()


def prepare() -> None:
    """Tables, the account with its key, and the endpoint."""
    from djstripe.models import Account, APIKey, WebhookEndpoint

    call_command("migrate", verbosity=0)
    account = Account.objects.create(id="acct_bench00000001", livemode=False, stripe_data={})
    APIKey.objects.create(
        id="key_bench", type="secret", secret=settings.STRIPE_TEST_SECRET_KEY, livemode=False, djstripe_owner_account=account
    )
    WebhookEndpoint.objects.create(
        id="we_bench0000000001", djstripe_uuid=ENDPOINT, secret=SECRET, livemode=False, url="http://127.0.0.1/", status="enabled",
        api_version="2020-08-27", enabled_events=["*"], djstripe_owner_account=account,
    )  # fmt: skip


if __name__ == "__main__":
    prepare()
    sys.stdout.write("ready\n")
