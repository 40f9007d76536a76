"""The API in the console: clients, tokens and webhooks, changed by leads only. It holds no rule: `clients`, `tokens` and `webhooks` do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_POST

from approvals.admin.pages import ConsoleRequest, console_page, note_refused, show
from approvals.people import GROUPS, Refused
from audit.actor import person
from billing_ai.api import clients, tokens, webhooks
from billing_ai.api.models import ApiClient, ApiToken, WebhookDelivery, WebhookEndpoint
from billing_ai.kernel import clock

_WORKERS = [name for name, own in GROUPS.items() if "approvals.work_case" in own]


def _lead(request: ConsoleRequest) -> None:
    """Raises Refused for whoever is not a lead."""
    if not request.user.has_perm("approvals.change_rules"):
        raise Refused("needs_lead", "Only a lead may change who uses the API.")


def _tried(request: ConsoleRequest, subject: tuple[str, str], order: str, change: Callable[[], str]) -> bool:
    """Do it as a lead and say so; what is refused is noted, and nothing has changed."""
    try:
        _lead(request)
        messages.success(request, change())
    except Refused as error:
        note_refused(request, *subject, order, error.code)
        messages.error(request, error.sentence)
        return False
    except (clients.BadClient, tokens.BadToken) as error:
        note_refused(request, *subject, order, "bad_values")
        messages.error(request, f"{str(error)[:1].upper()}{str(error)[1:]}.")
        return False
    return True


def _page(request: ConsoleRequest, title: str, **context: Any) -> HttpResponse:
    return show(request, "console/api.html", title, {"may": request.user.has_perm("approvals.change_rules"), **context})


@console_page
@require_http_methods(["GET", "POST"])
def new_client(request: ConsoleRequest) -> HttpResponse:
    """A client, and whom it reaches."""
    if request.method == "POST":
        form = request.POST
        name = form.get("name", "").strip()

        def change() -> str:
            clients.make(
                name,
                title=form.get("title", ""),
                covers_everyone="covers_everyone" in form,
                business_entity_ids=form.get("entities", "").split(","),
                actor=person(request.user),
                user=request.user,
            )
            return f"{name} is there. It has no token yet."

        if _tried(request, ("api_client", name[:60]), "make_client", change):
            return HttpResponseRedirect(reverse("console:api_client", args=[ApiClient.objects.get(name=name).pk]))
    return _page(request, "A new client of the API", kind="new_client", back=reverse("admin:api_apiclient_changelist"))


@console_page
@require_http_methods(["GET", "POST"])
def client(request: ConsoleRequest, pk: int) -> HttpResponse:
    """One client: whom it reaches, its tokens, and a new token."""
    row = ApiClient.objects.filter(pk=pk).first()
    if row is None:
        raise Http404("There is no such client.")
    if request.method == "POST":
        form = request.POST

        def change() -> str:
            clients.change(
                pk,
                title=form.get("title", ""),
                covers_everyone="covers_everyone" in form,
                business_entity_ids=form.get("entities", "").split(","),
                is_active="is_active" in form,
                reason=form.get("reason", ""),
                actor=person(request.user),
                user=request.user,
            )
            return "Changed. The history keeps what it was before, and your reason."

        _tried(request, ("api_client", row.name), "change_client", change)
        return HttpResponseRedirect(reverse("console:api_client", args=[pk]))
    listed = [(token, tokens.state_of(token), tokens.last_used(token)) for token in row.tokens.order_by("-created_at")[:50]]
    people = User.objects.filter(is_active=True, groups__name__in=_WORKERS).distinct().order_by("username")
    context = {"row": row, "tokens": listed, "people": people, "scopes": tokens.SCOPES, "entities": ",".join(row.business_entity_ids)}
    return _page(request, f"API client {row}", kind="client", back=reverse("admin:api_apiclient_changelist"), **context)


@console_page
@require_POST
def new_token(request: ConsoleRequest, pk: int) -> HttpResponse:
    """A token. Its secret is on the page that answers, and nowhere else."""
    row = ApiClient.objects.filter(pk=pk).first()
    if row is None:
        raise Http404("There is no such client.")
    form, shown = request.POST, []

    def change() -> str:
        shown.append(
            tokens.make(
                row,
                label=form.get("label", ""),
                scopes=form.getlist("scopes"),
                lives=timedelta(days=_number(form.get("days", ""), "days")),
                actor=person(request.user),
                created_by=request.user,
                rate_per_minute=_number(form.get("rate", ""), "calls a minute"),
                may_act_as=User.objects.filter(is_active=True, username__in=form.getlist("act_as")),
            )
        )
        return "Copy the token now: it is shown this once."

    return _with_secret(request, row, shown, _tried(request, ("api_client", row.name), "make_token", change))


@console_page
@require_POST
def token(request: ConsoleRequest, pk: UUID) -> HttpResponse:
    """Rotate it or revoke it."""
    row = ApiToken.objects.select_related("client").filter(pk=pk).first()
    if row is None:
        raise Http404("There is no such token.")
    what, shown = request.POST.get("what", ""), []

    def change() -> str:
        if what == "rotate":
            shown.append(tokens.rotate(pk, person(request.user), request.user))
            return "Copy the new token now: it is shown this once. The old one works for 24 hours more."
        if what == "revoke":
            return "Revoked." if tokens.revoke(pk, person(request.user), request.user) else "It was revoked before."
        raise Refused("unknown_order", "Rotate it or revoke it.")

    return _with_secret(request, row.client, shown, _tried(request, ("api_token", str(pk)), f"{what[:20]}_token", change))


def _with_secret(request: ConsoleRequest, row: ApiClient, shown: list[tuple[ApiToken, str]], done: bool) -> HttpResponse:
    back = reverse("console:api_client", args=[row.pk])
    if not (done and shown):
        return HttpResponseRedirect(back)
    made, secret = shown[0]
    return _page(request, f"Token of {row}", kind="secret", back=back, token=made, secret=secret)


@console_page
@require_http_methods(["GET", "POST"])
def endpoint(request: ConsoleRequest, pk: UUID) -> HttpResponse:
    """Where webhooks go: what was delivered; replay, or stop."""
    row = WebhookEndpoint.objects.select_related("client").filter(pk=pk).first()
    if row is None:
        raise Http404("There is no such endpoint.")
    if request.method == "POST":
        what, actor = request.POST.get("what", ""), person(request.user)

        def change() -> str:
            if what == "stop":
                webhooks.stop_endpoint(row, actor, f"stopped in the console: {request.POST.get('reason', '').strip()[:150]}", request.user)
                return "It is not called any more."
            if not row.is_active:
                raise Refused("endpoint_stopped", "This endpoint is not called any more.")
            if what == "replay":
                since = clock.now() - timedelta(hours=_number(request.POST.get("hours", ""), "hours"))
                return f"{webhooks.replay(row, actor, since=since)} deliveries wait to be sent again."
            if what == "replay_one":
                delivery = WebhookDelivery.objects.filter(endpoint=row, pk=_uuid(request.POST.get("delivery", ""))).first()
                if delivery is None or not webhooks.replay(row, actor, delivery_id=delivery.pk):
                    raise Refused("no_such_delivery", "There is no such delivery, or it is being sent at this moment.")
                return "It waits to be sent again."
            raise Refused("unknown_order", "Replay or stop it.")

        _tried(request, ("webhook_endpoint", str(pk)), f"{what[:20]}_endpoint", change)
        return HttpResponseRedirect(reverse("console:api_endpoint", args=[pk]))
    deliveries = row.deliveries.select_related("change").order_by("-made_at", "-pk")[:50]
    return _page(
        request, "Webhooks", kind="endpoint", back=reverse("admin:api_webhookendpoint_changelist"), row=row, deliveries=list(deliveries)
    )


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise Refused("bad_values", f"Give the number of {what} as a whole number.")
    return int(text)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Refused("no_such_delivery", "There is no such delivery.") from error


urlpatterns = [
    path("api/client/new/", new_client, name="new_api_client"),
    path("api/client/<int:pk>/", client, name="api_client"),
    path("api/client/<int:pk>/token/", new_token, name="new_api_token"),
    path("api/token/<uuid:pk>/", token, name="api_token"),
    path("api/endpoint/<uuid:pk>/", endpoint, name="api_endpoint"),
]
