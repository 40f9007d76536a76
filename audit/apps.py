"""The audit floor as a Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate


class AuditConfig(AppConfig):
    """Registers what the ledger needs from each SQLite connection, and keeps the application role's grants up to date."""

    name = "audit"
    verbose_name = "Audit"

    def ready(self) -> None:
        from audit.append_only import prepare_sqlite
        from audit.checks import check_places
        from audit.grants import grant_after_migrate

        register(check_places)
        connection_created.connect(prepare_sqlite, dispatch_uid="audit.prepare_sqlite")
        post_migrate.connect(grant_after_migrate, sender=self, dispatch_uid="audit.grants")
