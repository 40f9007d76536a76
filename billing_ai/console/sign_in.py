"""Signing in as Django does it, with an end to guessing, and with all permissions of a person read by one query instead of two."""

from __future__ import annotations

import hashlib
import hmac
import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import HttpRequest

from audit.models import TriedPassword
from billing_ai.kernel import clock

logger = logging.getLogger(__name__)
GUESSES, GUESSES_FROM_ANYWHERE = 10, 100
"""Wrong passwords for one name from one address, and from all of them, after which nothing is believed for a while: not the right one either."""
_WINDOW = timedelta(minutes=15)


class OneLookBackend(ModelBackend):
    """Own permissions and those of the groups, at once: every page asks for them."""

    def authenticate(self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any) -> Any:
        """The user, or None. Raises PermissionDenied, which the form shows as a wrong password, once too many were wrong."""
        if username is None or password is None:
            return super().authenticate(request, username=username, password=password, **kwargs)
        address = str(request.META.get("REMOTE_ADDR", "")) if request is not None else ""
        by_name, by_both = _mark(username), _mark(f"{username}\n{address}")
        # Written down before it is looked at: a hundred that are sent at the same moment, to however many hosts, are counted as a hundred.
        tried = TriedPassword.objects.create(at=clock.now(), name_mark=by_name, name_and_address_mark=by_both)
        if _are_too_many(tried):
            tried.delete()  # whoever knocks on a closed door does not keep it closed
            logger.warning("sign_in.too_many_guesses", extra={"address": address})
            raise PermissionDenied
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is not None:
            TriedPassword.objects.filter(name_mark=by_name, name_and_address_mark=by_both).delete()
        return user

    def get_all_permissions(self, user_obj: User | AnonymousUser, obj: Any = None) -> set[str]:
        """As `app_label.codename`. Nobody gets any while disabled, or for one object."""
        if not user_obj.is_active or user_obj.is_anonymous or obj is not None:
            return set()
        if getattr(user_obj, "is_superuser", False):
            return super().get_all_permissions(user_obj)
        known: set[str] | None = getattr(user_obj, "_perm_cache", None)
        if known is None:
            own, of_groups = Permission.objects.filter(user=user_obj.pk), Permission.objects.filter(group__user=user_obj.pk)
            rows = Permission.objects.filter(Q(pk__in=own.values("pk")) | Q(pk__in=of_groups.values("pk")))
            known = {f"{label}.{name}" for label, name in rows.values_list("content_type__app_label", "codename").order_by()}
            user_obj._perm_cache = known  # type: ignore[attr-defined]  # the place where Django's own backend keeps it
        return known


def _are_too_many(tried: TriedPassword) -> bool:
    """This one included, and those that other hosts are looking at right now. What is older than the window is dropped."""
    begin = clock.now() - _WINDOW
    TriedPassword.objects.filter(at__lt=begin).delete()
    counted = TriedPassword.objects.filter(name_mark=tried.name_mark, at__gte=begin).aggregate(
        from_here=Count("pk", filter=Q(name_and_address_mark=tried.name_and_address_mark)), from_anywhere=Count("pk")
    )
    return bool(counted["from_here"] > GUESSES or counted["from_anywhere"] > GUESSES_FROM_ANYWHERE)


def _mark(text: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), b"sign_in:" + text.lower().encode(), hashlib.sha256).hexdigest()
