"""Celery: beat and wake-ups. No task holds business timing; rows do (`not_before`), and sweeps find them."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun, worker_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ai.settings")
from django.conf import settings
from kombu.transport.redis import QoS

app = Celery("billing_ai")
# When a broker dies with a message on hand, kombu tries to put that back over a connection which it has taken apart already, and the error ends the
# worker. A wake-up that is not put back costs at most the time until the next sweep.
QoS.restore_at_shutdown = False


def _broker() -> dict[str, Any]:
    if settings.REDIS_URL:
        # A frozen Redis must not freeze us: kombu's own defaults wait for ever.
        options = {"socket_timeout": 10, "socket_connect_timeout": 2, "socket_keepalive": True, "health_check_interval": 20}
        return {"broker_url": settings.REDIS_URL, "broker_transport_options": {**options, "global_keyprefix": "billing-ai:"}}
    folder = settings.VAR_DIR / "broker"
    for name in ("queue", "control"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    queue = str(folder / "queue")
    return {
        "broker_url": "filesystem://",
        "broker_transport_options": {"data_folder_in": queue, "data_folder_out": queue, "control_folder": str(folder / "control")},
    }


_every = settings.SECONDS_BETWEEN_SWEEPS
# Celery would close the database connection before and after each task, and a new one costs more than claiming an event. `_let_go_of_old`
# closes those that Django's own settings (CONN_MAX_AGE, CONN_HEALTH_CHECKS) say are too old or broken, as a web process does.
app.conf["CELERY_DB_REUSE_MAX"] = 10**9
app.conf.update(
    **_broker(),
    task_ignore_result=True,
    result_backend=None,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    task_time_limit=240,
    task_soft_time_limit=200,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # A full or read-only Redis refuses with an answer of its own; without this such an answer ends the worker.
    broker_channel_error_retry=True,
    task_serializer="json",
    accept_content=["json"],
    timezone="UTC",
    worker_hijack_root_logger=False,
    beat_schedule_filename=str(settings.VAR_DIR / "beat-schedule"),
    beat_schedule={
        "inbox": {"task": "inbox.process", "schedule": _every},
        "agents": {"task": "agents.tick", "schedule": _every},
        "executions": {"task": "approvals.execute_due", "schedule": _every},
        "housekeeping": {"task": "approvals.housekeeping", "schedule": max(3.0, _every * 6)},
        "reconcile": {"task": "inbox.reconcile", "schedule": max(30.0, _every * 30)},
        "roll-call": {"task": "inbox.roll_call", "schedule": max(15.0, _every * 15)},
        "scores": {"task": "churn.watch", "schedule": max(60.0, _every * 600)},
        "night": {"task": "churn.night", "schedule": max(5.0, _every * 10)},
        "invoices": {"task": "inbox.compare_invoices", "schedule": max(60.0, _every * 60)},
        "proof": {"task": "inbox.verify_audit", "schedule": max(60.0, _every * 60)},
        "webhooks": {"task": "api.deliver", "schedule": _every},
        "api": {"task": "api.housekeeping", "schedule": max(3.0, _every * 6)},
        "site": {"task": "inbox.check_site", "schedule": max(60.0, _every * 60)},
        "figures": {"task": "console.figures", "schedule": 20.0},
        "audit": {"task": "inbox.checkpoint_audit", "schedule": max(10.0, _every * 6)},
    },
)
app.autodiscover_tasks(["billing_ai.inbox", "agents", "agents.churn", "approvals", "billing_ai.api", "billing_ai.console"])


@setup_logging.connect
def _use_our_logging(**_: Any) -> None:
    """Workers log as the settings say; Celery's own format would hide the trace id."""
    import logging.config

    logging.config.dictConfig(settings.LOGGING)


@task_prerun.connect
@task_postrun.connect
def _let_go_of_old(task: Any = None, **_: Any) -> None:
    """A connection that is too old, or broke in the task before, is closed; the next statement asks a kept one first whether it still works."""
    from django.db import close_old_connections

    if not getattr(task.request, "is_eager", False):
        close_old_connections()


@worker_init.connect
def _load_before_the_fork(**_: Any) -> None:
    """What is large and read-only is loaded once, in the parent: the children share its memory, and the first draft need not wait for it."""
    import holidays  # noqa: F401 - three hundred modules of countries

    from agents.platform.llm import gateway
    from approvals.drafts import built_in, language_rules, words

    language_rules.warm_up()
    for language in built_in.languages():  # the usual ones: all 28 would take each start three seconds
        words.lexicon(language)
    gateway.preload()


@worker_ready.connect
def _look_at_the_site(sender: Any, **_: Any) -> None:
    """Beat's first turn is an interval away; whoever has just set this up wants to know at once whether Chargebee is."""
    sender.app.send_task("inbox.check_site")
