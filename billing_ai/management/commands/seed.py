"""The demo's people, one for each role, and the default rules. Safe to run again."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management.base import BaseCommand, CommandError

from approvals.models import Phase
from approvals.policy.defaults import install_defaults

PEOPLE = {
    "specialist": "Sam Ortiz, collections specialist",
    "lead": "Lena Berg, head of collections",
    "lead2": "Luis Prado, second lead",
    "finance": "Fay Nolan, finance",
    "auditor": "Aldo Conti, auditor",
    "admin": "Ada Winter, administrator",
}
PASSWORD = "demo-billing-ai"  # noqa: S105 - made-up people on one machine; `seed` refuses to run anywhere else


class Command(BaseCommand):
    """`manage.py seed`."""

    help = "Makes the demo's people and the default rules. Refuses to run in production."

    def handle(self, *args: Any, **options: Any) -> None:
        """Create what is missing."""
        if settings.IS_PRODUCTION:
            raise CommandError(
                "seed makes people with a known password: it does not run in production. Use createsuperuser and the console."
            )
        install_defaults()
        # On a real site churn starts by only observing; here there is something to see.
        for row in Phase.objects.filter(agent="churn", segment="everyone", phase=Phase.OBSERVE, changed_by=None):
            row.phase, row.reason = Phase.ASSIST, "the demo shows what the agent proposes"
            row.save()
        for name, full in PEOPLE.items():
            first, _, last = full.partition(",")[0].partition(" ")
            user, is_new = User.objects.get_or_create(username=name, defaults={"first_name": first, "last_name": last, "is_staff": True})
            if is_new:
                user.is_superuser = name == "admin"
                user.set_password(PASSWORD)
                user.save()
            group = Group.objects.filter(name=name.rstrip("2")).first()
            if group is not None:
                user.groups.add(group)
        self.stdout.write("people and default rules are in place")
