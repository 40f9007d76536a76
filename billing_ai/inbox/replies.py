"""What customers answer: text messages (Twilio's webhook) and unsubscribes by mail (RFC 8058). An opt-out counts when the answer is given."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from approvals import replies
from approvals.policy import consent

logger = logging.getLogger(__name__)
EMPTY_TWIML = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
"""No answer in the same breath: what is said goes through the one door out."""
_LONGEST_FIELD = 2_000


@csrf_exempt
@require_POST
def text_message(request: HttpRequest) -> HttpResponse:
    """Twilio's webhook for a text message to our number. 200 once the opt-out is a committed row; 403 without a true signature, 404 without a token."""
    if not settings.SMS_TOKEN:
        return HttpResponse(status=404)
    form = {name: str(value) for name, value in request.POST.items()}
    given = request.headers.get("X-Twilio-Signature", "")
    if not hmac.compare_digest(given.encode(), twilio_signature(settings.PUBLIC_URL + request.get_full_path(), form).encode()):
        return HttpResponse("The signature does not fit.", status=403, content_type="text/plain")
    try:
        outcome = replies.take_text(form.get("From", "")[:40], form.get("Body", "")[:_LONGEST_FIELD], form.get("MessageSid", "")[:64])
    except (DatabaseError, InterfaceError):
        logger.exception("reply.database_away")
        connection.close()
        return HttpResponse("It could not be stored. Send it again later.", status=503, content_type="text/plain")
    logger.info("reply.text", extra={"asked_for": outcome.asked_for, "customers": outcome.customers})
    return HttpResponse(EMPTY_TWIML, content_type="text/xml")


def twilio_signature(url: str, form: Mapping[str, Any]) -> str:
    """Twilio's signature of a form: HMAC-SHA-1, under the account's token, of the address and each field in order of its name."""
    signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    # SHA-1 is what Twilio signs with; as HMAC it is sound.
    return base64.b64encode(hmac.new(settings.SMS_TOKEN.encode(), signed.encode(), hashlib.sha1).digest()).decode()


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows one button and changes nothing, since mail scanners open links; POST opts out of mail, from the button or in one click."""
    customer_id = consent.customer_of(token)
    context = {"vendor": settings.VENDOR_NAME, "support": settings.SUPPORT_EMAIL, "is_known": bool(customer_id), "is_done": False}
    if not customer_id:
        return render(request, "replies/unsubscribe.html", context, status=404)
    if request.method == "POST":
        try:
            consent.record(customer_id, "email", granted=False, source="unsubscribe")
        except (DatabaseError, InterfaceError):
            logger.exception("reply.database_away")
            connection.close()
            return HttpResponse("It could not be stored. Please try again later.", status=503, content_type="text/plain")
        context["is_done"] = True
    return render(request, "replies/unsubscribe.html", context)
