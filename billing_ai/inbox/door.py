"""Where webhooks enter the web process: the same view as under `urls.py`, without the middleware that is there for people.

A session, a language, CSRF, the files of the console and a history user cost more CPU than the event's own row, and a webhook has none of them.
The view checks the sender itself. `docs/adr/0030-webhooks-have-a-door-of-their-own.md` says what is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.urls import get_resolver, path

from billing_ai.inbox import views

PATH = "/webhooks/chargebee/"
urlpatterns = [path("webhooks/chargebee/", views.chargebee_webhook), path("webhooks/chargebee/<str:secret>/", views.chargebee_webhook)]
"""The same addresses as in `inbox/urls.py`, found without looking through all the others."""
_Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class _Bare(WSGIHandler):
    """Django's handler with an empty list of middleware and these two addresses. Signals and error answers are Django's own."""

    def resolve_request(self, request):  # type: ignore[no-untyped-def]
        match = get_resolver(__name__).resolve(request.path_info)
        request.resolver_match = match
        return match

    # Without annotations, as in Django itself: its stubs leave these names out.
    def load_middleware(self, is_async=False):  # type: ignore[no-untyped-def]
        self._view_middleware = self._template_response_middleware = self._exception_middleware = ()
        self._middleware_chain = convert_exception_to_response(self._get_response)  # type: ignore[attr-defined]


def with_door(others: _Wsgi) -> _Wsgi:
    """The application that takes webhooks through the door and hands everything else to `others`."""
    bare = _Bare()

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        handler = bare if environ.get("PATH_INFO", "").startswith(PATH) else others
        return handler(environ, start_response)

    return application
