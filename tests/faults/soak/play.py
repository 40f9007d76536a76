"""One long run, from the first fault to the table."""

from __future__ import annotations

import logging
import time
import zlib
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q

from agents.churn.models import ChurnScore, InterventionRule
from agents.models import AgentRun
from approvals.models import Execution, Phase
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from billing_ai.work import wake
from tests.faults.installed import one_machine, servers
from tests.faults.rig import Rig, running
from tests.faults.servers import Missing
from tests.faults.soak.books import Books, compare, look
from tests.faults.soak.chaos import Chaos, mend
from tests.faults.soak.traffic import Colleagues, Customers

_SETTLE_SECONDS = 600.0
_PARTS = ("web", "worker", "worker-2", "beat")


class _Silent(wake._Waker):
    """This process only plays people; the workers find what they did at their next sweep."""

    def wake(self, task: str) -> None:
        pass


def soak(minutes: float, seed: str, backend: str, customers: int) -> int:
    """Play, mend, let everything come to rest, compare. 0 when all is as it must be, 1 when not, 2 where it cannot run."""
    wake._waker = _Silent()
    logging.getLogger().setLevel(logging.CRITICAL)  # of this process; the others have their logs
    try:
        with servers() if backend == "postgresql" else one_machine() as held:
            simulated: dict[str, Any] = {"customers": customers, "seed": zlib.crc32(seed.encode()) % 1000}
            with running(held, parts=_PARTS, **simulated) as rig:
                return _soak(rig, minutes, seed, backend)
    except Missing as error:
        print(f"could not run: {error}")
        return 2


def _soak(rig: Rig, minutes: float, seed: str, backend: str) -> int:
    settings.CHARGEBEE_API_URL = rig.site.api_url
    settings.AUDIT_CHECKPOINTS = [(rig.var_dir / "audit-heads.jsonl").as_uri()]
    # Every score that changes asks the owner for something, so that tasks in the CRM are among what is compared.
    Phase.objects.filter(agent="churn").update(phase=Phase.ASSIST)
    InterventionRule.objects.filter(key="high_task").update(bands=list(ChurnScore.BANDS), cool_down_days=0)
    rig.site.post("/control/settings", duplicate_share=0.1, late_share=0.1, shuffle=True)
    since = rig.site.now() - 1
    players = [Customers(rig, seed), Colleagues(rig, seed), Chaos(rig, seed)]
    for player in players:
        player.start()
    ends = time.monotonic() + minutes * 60
    while time.monotonic() < ends and all(player.failure is None for player in players):
        time.sleep(min(5.0, max(0.1, ends - time.monotonic())))
    customers, colleagues, chaos = players
    for player in (chaos, customers, colleagues):
        player.stop()
    mend(rig)
    connection.close()  # it was cut, or belongs to a server that was killed
    left = _come_to_rest(rig, seed)
    books = compare(rig, look(rig, since))
    assert isinstance(chaos, Chaos)
    chaos._look_after()
    books.expect_none("processes that ended by themselves", chaos.ended)
    books.expect_none("work that did not come to rest", left)
    _show(books, seed, minutes, backend, {player.name: dict(sorted(player.counts.items())) for player in players})
    wrong = any(books.breaches.values())
    if wrong:
        _show_logs(rig)
    return 1 if wrong else 0


def _come_to_rest(rig: Rig, seed: str) -> list[str]:
    """Let time pass, in office hours, until nothing is due any more. What is left when patience ends."""
    colleagues = Colleagues(rig, f"{seed} afterwards")
    deadline = time.monotonic() + _SETTLE_SECONDS
    quiet = 0
    while quiet < 3:
        rig.site.post("/control/deliver")
        rig.advance(minutes=6)
        if rig.site.now() % 86_400 > 15 * 3_600:
            rig.to_office_hours()
        colleagues._settle()
        time.sleep(2.0)
        quiet = 0 if _due() else quiet + 1
        if time.monotonic() > deadline:
            return _due()
    return []


def _due() -> list[str]:
    soon = Q(status="leased") | Q(status="waiting", not_before__lte=clock.now())
    found = [f"event {row.chargebee_event_id}: {row.status} {row.reason}" for row in Event.objects.filter(Q(status="waiting") | soon)[:20]]
    found += [f"run {row.agent} {row.subject_id}: {row.status} {row.reason}" for row in AgentRun.objects.filter(soon)[:20]]
    open_ones = Execution.objects.filter(soon | Q(status__in=("executing", "unknown", "person")))
    return found + [f"effect {row.action} {row.pk}: {row.status} {row.reason}" for row in open_ones[:20]]


def _show(books: Books, seed: str, minutes: float, backend: str, counts: dict[str, dict[str, int]]) -> None:
    print(f"\nsoak: {minutes:g} minutes, seed {seed}, {backend}")
    for name, done in counts.items():
        print(f"\n{name}: " + ", ".join(f"{what.replace('_', ' ')} {times}" for what, times in done.items()))
    print()
    for what, figure in books.figures.items():
        print(f"{figure:>8}  {what}")
    print("\n".join(books.parked))
    for what, found in books.breaches.items():
        print(f"{len(found):>8}  {what}" + ("" if not found else "   ← must be 0"))
        for line in found[:20]:
            print(f"              {line}")


def _show_logs(rig: Rig) -> None:
    """Where to look: kept beside the others, since the rig's folder goes."""
    folder = settings.VAR_DIR / "soak"
    folder.mkdir(parents=True, exist_ok=True)
    for log in rig.var_dir.glob("*.log"):
        (folder / log.name).write_bytes(log.read_bytes())
    print(f"\nlogs are in {folder}")
