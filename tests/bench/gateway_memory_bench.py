"""What the model gateway costs in memory: a web process with and without it, and a worker with four children, imported before or after the fork.

Run: `python -m tests.bench.gateway_memory_bench`. Figures are proportional set sizes (PSS) in MB from /proc, so Linux only; shared pages count once
over all processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHILDREN = 4
_WEB = "import billing_ai.wsgi, importlib\nfrom django.conf import settings\nimportlib.import_module(settings.ROOT_URLCONF)\n"
_USE = "from agents.platform.llm import provider, offline\nprovider.loaded().completion\n"
CASES = {
    "web": _WEB,
    "web, gateway imported, not used": f"{_WEB}import agents.platform.llm.gateway\n",
    "web, if it loaded the model library": f"{_WEB}{_USE}",
}
_FORKED = """
import os, sys, time
import billing_ai.wsgi
from agents.platform.llm import gateway, provider
if {before}:
    gateway.preload()
pipes = []
for _ in range({children}):
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    if os.fork() == 0:
        provider.loaded().completion
        os.write(ready_write, b"1")
        os.read(go_read, 1)
        os._exit(0)
    pipes.append((ready_read, go_write))
for ready, _ in pipes:
    os.read(ready, 1)
"""
_MEASURE = """
import json, os
def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
pids = [os.getpid()] + [int(pid) for pid in open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read().split()]
print(json.dumps(sum(pss(pid) for pid in pids) / 1024))
"""
_RELEASE = "for _, go in pipes:\n    os.write(go, b'1')\nfor _ in pipes:\n    os.wait()\n"


def measured(program: str) -> float:
    """Megabytes after the program has run."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "billing_ai.settings", "DEMO": "true", "DATABASE_URL": ""}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print one line for each case."""
    for name, program in CASES.items():
        print(f"{name:45} {measured(program + _MEASURE):7.0f} MB")
    for name, before in (
        (f"worker and {CHILDREN} children, before the fork", True),
        (f"worker and {CHILDREN} children, in each child", False),
    ):
        program = _FORKED.format(before=before, children=CHILDREN) + _MEASURE + _RELEASE
        print(f"{name:45} {measured(program):7.0f} MB")


if __name__ == "__main__":
    main()
