"""The webhook as a view. The web process serves it through `door.py`, past Django's request; what it does is in `reception.py`."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing_ai.inbox import reception


@csrf_exempt
@require_POST
def chargebee_webhook(request: HttpRequest, secret: str = "") -> HttpResponse:
    """What `reception.receive` answers."""
    status, document = reception.receive(request.META, secret)
    response = JsonResponse(document, status=status)
    if status == 401:
        response["WWW-Authenticate"] = reception.REALM
    return response
