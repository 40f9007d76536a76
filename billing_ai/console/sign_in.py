"""Signing in as Django does it, with an end to guessing, and with all permissions of a person read by one query instead of two."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest

logger = logging.getLogger(__name__)
GUESSES, GUESSES_FROM_ANYWHERE = 10, 100
"""Wrong passwords for one name from one address, and from all of them, after which nothing is believed for a while: not the right one either."""
_SECONDS = 15 * 60


class OneLookBackend(ModelBackend):
    """Own permissions and those of the groups, at once: every page asks for them."""

    def authenticate(self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any) -> Any:
        """The user, or None. Raises PermissionDenied, which the form shows as a wrong password, once too many were wrong."""
        address = str(request.META.get("REMOTE_ADDR", "")) if request is not None else ""
        limits = {_key(username or "", address): GUESSES, _key(username or "", "*"): GUESSES_FROM_ANYWHERE}
        if any(cache.get(key, 0) >= most for key, most in limits.items()):
            logger.warning("sign_in.too_many_guesses", extra={"address": address})
            raise PermissionDenied
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is not None:
            cache.delete(_key(username or "", address))
        elif password is not None:
            for key in limits:
                cache.add(key, 0, _SECONDS)
                cache.incr(key)
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


def _key(name: str, address: str) -> str:
    return "sign_in:" + hashlib.sha256(f"{name.lower()}\n{address}".encode()).hexdigest()
