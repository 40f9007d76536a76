"""The room of approvals."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ApprovalsConfig(AppConfig):
    """Cases, proposals, policies, executions, outcomes."""

    name = "approvals"
    verbose_name = "Collections"

    def ready(self) -> None:
        """Register the system checks and what an evidence pack tells of a case; keep the groups in step with the models."""
        from approvals import checks, evidence, groups  # noqa: F401
        from audit.export import register_contributor

        register_contributor("approvals", evidence.tell)
        post_migrate.connect(groups.bring_up_to_date, dispatch_uid="approvals.groups")
