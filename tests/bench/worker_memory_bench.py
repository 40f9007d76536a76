"""What a worker with four children takes once litellm is loaded, after 500 runs of the agent and after many.

    [DATABASE_URL=postgres://…] [REDIS_URL=redis://…] python -m tests.bench.worker_memory_bench [--runs 500 2500]

A real Celery worker; Chargebee is replayed in process, words come from the built-in writer, and each child has litellm. Figures are proportional
set sizes (PSS) of the whole tree: shared pages count once. Linux only.
"""

from __future__ import annotations

import argparse

from tests.bench.measure import pss_mb, tree, versions
from tests.bench.queue_bench import house
from tests.bench.report import Row, section

CHILDREN = 4
_PORTION = 100


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, nargs=2, default=[500, 2_500])
    options = parser.parse_args()
    with house("memory", CHILDREN) as here:
        pid, bench = here.worker_id, here.bench
        bench.nothing(200)
        start, done, after = pss_mb(tree(pid)), 0, []
        for runs in options.runs:
            while done < runs:
                bench.agents(min(_PORTION, runs - done))
                done += _PORTION
            after.append(pss_mb(tree(pid)))
            print(f"after {runs} runs: {after[-1]:.0f} MB", flush=True)
        sizes = f"{versions(here.url)}; PSS of the worker and its {CHILDREN} children"
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
