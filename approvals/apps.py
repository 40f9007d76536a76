"""The room of approvals."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ApprovalsConfig(AppConfig):
    """Cases, proposals, policies, executions, outcomes."""

    name = "approvals"
    verbose_name = "Collections"

    def ready(self) -> None:
        """Register the system checks, what an evidence pack tells of a case and what an erasure blanks; keep the groups in step with the models."""
        from approvals import checks, erasure, evidence, groups  # noqa: F401
        from audit.export import register_contributor
        from audit.seal import register_eraser

        register_contributor("approvals", evidence.tell)
        register_eraser("approvals", erasure.erase)
        post_migrate.connect(groups.bring_up_to_date, dispatch_uid="approvals.groups")
