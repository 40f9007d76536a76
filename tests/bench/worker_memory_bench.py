"""What a worker with four children takes once litellm is loaded, after 500 runs of the agent and after many.

    [DATABASE_URL=postgres://…] [REDIS_URL=redis://…] python -m tests.bench.worker_memory_bench [--runs 500 2500]

A real Celery worker; Chargebee is replayed in process, words come from the built-in writer, and each child has litellm. Figures are proportional
set sizes (PSS) of the whole tree: shared pages count once. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import services
from tests.bench.measure import django, pss_mb, scratch_database, tree, versions
from tests.bench.queue_bench import Bench, prepared, worker
from tests.bench.report import Row, section

CHILDREN = 4
_PORTION = 100


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, nargs=2, default=[500, 2_500])
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(scratch_database("memory"))
        folder = Path(stack.enter_context(TemporaryDirectory()))
        broker = stack.enter_context(services.redis())
        if not broker.value:
            raise SystemExit(broker.said)
        environment = django(
            url,
            VAR_DIR=str(folder),
            REDIS_URL=broker.value,
            CHARGEBEE_RATE_PER_MINUTE="100000000",
            LOG_LEVEL="ERROR",
            SECONDS_BETWEEN_SWEEPS="600",
        )
        os.environ.update(environment)
        edge = prepared(folder)
        pid = stack.enter_context(worker({**environment, "BENCH_EDGE": str(folder / "edge.json")}, CHILDREN))
        bench = Bench(url, pid, edge, broker.value)
        bench.nothing(200)
        start, done, after = pss_mb(tree(pid)), 0, []
        for runs in options.runs:
            while done < runs:
                bench.agents(min(_PORTION, runs - done))
                done += _PORTION
            after.append(pss_mb(tree(pid)))
            print(f"after {runs} runs: {after[-1]:.0f} MB", flush=True)
        bench.meter.close()
        sizes = f"{versions(url)}; PSS of the worker and its {CHILDREN} children"
    few, many = options.runs
    rows = [
        Row(
            "litellm loaded",
            f"{after[0]:.0f} MB after {few} runs, {start:.0f} MB before",
            "Django alone: 192 MB",
            f"{after[0] / 192:.2f}",
            "≤ 350 MB",
            after[0] <= 350,
        ),
        Row(
            f"after {many} runs",
            f"{after[1]:.0f} MB",
            f"after {few}: {after[0]:.0f} MB",
            f"{after[1] / after[0]:.2f}",
            "≤ 1.1 times",
            after[1] / after[0] <= 1.1,
        ),
    ]
    notes = []
    if many < 50_000:
        notes.append(f"{many} runs were made where the goal names 50 000; `--runs {few} 50000` makes them.")
    section("worker-memory", "Worker memory", rows, sizes=sizes, notes=notes)


if __name__ == "__main__":
    main()
