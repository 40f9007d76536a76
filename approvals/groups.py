"""The groups, what each may do, and the shipped rules, brought up to date after every migration, so that a new model is never forgotten."""

from __future__ import annotations

from typing import Any

from django.apps import apps

from approvals.people import GROUPS

_OUR_APPS = ("approvals", "agents", "inbox", "facts", "signals", "api", "audit", "work")
_SEES_THE_CONSOLE = ("specialist", "lead", "finance", "auditor")


def bring_up_to_date(app_config: Any, **_: Any) -> None:
    """Receiver of post_migrate; acts once, after the last app, when every permission exists."""
    if app_config.label != list(apps.get_app_configs())[-1].label:
        return
    from django.contrib.auth.models import Group, Permission

    from approvals.policy.defaults import install_defaults

    views = Permission.objects.filter(content_type__app_label__in=_OUR_APPS, codename__startswith="view_")
    for name, own in GROUPS.items():
        group, _created = Group.objects.get_or_create(name=name)
        codenames = [permission.split(".")[1] for permission in own]
        wanted = set(Permission.objects.filter(content_type__app_label="approvals", codename__in=codenames))
        if name in _SEES_THE_CONSOLE:
            wanted |= set(views)
        if name in ("lead", "auditor"):
            wanted |= set(Permission.objects.filter(codename="export_evidence"))
        group.permissions.set(wanted)
    # Rules that are missing deny: a new installation starts with the shipped ones. Those that a lead has changed stay as they are.
    install_defaults()
