"""The worker that is measured: our own Celery app, with Chargebee answering in process, and a task that does nothing to compare with.

BENCH_EDGE names the recorded answers (`tests/bench/edge.py`). When BENCH_CLAIMS names a file, the time of each claim of an event goes into it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery.signals import worker_init

from billing_ai.celery import app

__all__ = ["app"]


@app.task(name="bench.nothing")
def nothing() -> None:
    """A no-op."""


@worker_init.connect
def _prepare(**_: Any) -> None:
    if os.environ.get("BENCH_EDGE"):
        from tests.bench.edge import Edge

        Edge(Path(os.environ["BENCH_EDGE"])).install()
    if os.environ.get("BENCH_CLAIMS"):
        from billing_ai.work import claims

        told, claim = Path(os.environ["BENCH_CLAIMS"]), claims.claim

        def watched(*arguments: Any, **more: Any) -> Any:
            rows = claim(*arguments, **more)
            at = time.time()
            with told.open("a") as file:
                file.writelines(f"{getattr(row, 'chargebee_event_id', '')} {at}\n" for row in rows)
            return rows

        claims.claim = watched
