"""Breaks one thing after the other, as a seed says, and mends it again. The seed repeats what is done, not the machine's own timing."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from tests.faults.rig import Rig
from tests.faults.soak.traffic import Player

_SECONDS_BETWEEN = 3.0


class Chaos(Player):
    """Workers, web, broker, database and beat die, freeze and come back; lines break and answers get lost."""

    def __init__(self, rig: Rig, seed: str) -> None:
        super().__init__("chaos", rig, seed, pause_seconds=_SECONDS_BETWEEN)
        self.ended: list[str] = []
        self.deeds: list[tuple[int, Callable[[], None]]] = [
            (4, self.worker_killed),
            (3, self.pool_child_killed),
            (2, self.worker_frozen_past_its_lease),
            (2, self.worker_ended_as_by_a_deployment),
            (3, self.web_killed),
            (2, self.beat_killed),
            (1, self.two_beats),
            (4, self.charge_without_an_answer),
            (3, self.worker_killed_while_charging),
            (3, self.mail_without_an_answer),
            (3, self.text_without_an_answer),
            (2, self.ticket_without_an_answer),
            (2, self.task_without_an_answer),
            (2, self.chargebee_away),
            (2, self.chargebee_answers_503),
            (1, self.chargebee_asks_to_wait),
            (3, self.broker_forgets),
        ]
        if rig.has_servers:
            self.deeds += [
                (3, self.broker_killed),
                (2, self.broker_frozen),
                (3, self.database_restarted),
                (3, self.database_lines_cut),
            ]

    def step(self) -> None:
        """One deed. Whatever it broke is whole again when it returns."""
        self._look_after()
        weights, deeds = zip(*self.deeds, strict=True)
        deed = self.chance.choices(deeds, weights=weights, k=1)[0]
        seconds = self.chance.uniform(0.2, 3.0)
        self._for = seconds
        deed()
        self.counts[deed.__name__] += 1

    def _look_after(self) -> None:
        """A process that has ended without our doing is noted, and started again as an init system would."""
        for child in [child for child in self.rig.group.children if child.process.poll() is not None]:
            self.ended.append(f"{child.name} with {child.process.returncode}")
            self.rig.group.children.remove(child)
            self.rig.start(child.name)

    # -- our processes ----------------------------------------------------------------------------------------------------------------

    def worker_killed(self) -> None:
        name = self.chance.choice(("worker", "worker-2"))
        self.rig.kill(name)
        self._wait()
        self.rig.start(name)

    def pool_child_killed(self) -> None:
        pids = self.rig.pool(self.chance.choice(("worker", "worker-2")))
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.chance.choice(pids), signal.SIGKILL)

    def worker_frozen_past_its_lease(self) -> None:
        name = self.chance.choice(("worker", "worker-2"))
        self.rig.freeze(name)
        try:
            self.rig.advance(minutes=5)
            self._wait()
        finally:
            self.rig.thaw(name)

    def worker_ended_as_by_a_deployment(self) -> None:
        name = self.chance.choice(("worker", "worker-2"))
        self.rig.end(name)
        self.rig.start(name)

    def web_killed(self) -> None:
        self.rig.kill("web")
        self._wait()
        self.rig.start("web")

    def beat_killed(self) -> None:
        self.rig.kill("beat")
        self._wait()
        self.rig.start("beat")

    def two_beats(self) -> None:
        self.rig.start("beat-2")
        self._wait()
        self._wait()
        self.rig.kill("beat-2")

    # -- the outside ------------------------------------------------------------------------------------------------------------------

    def charge_without_an_answer(self) -> None:
        self.rig.site.post("/control/faults", kind="act_then_drop", method="POST", path="/collect_payment", times=1)

    def text_without_an_answer(self) -> None:
        self.rig.site.post("/control/faults", kind="act_then_drop", method="POST", path="/Messages.json", times=1)

    def ticket_without_an_answer(self) -> None:
        self.rig.site.post("/control/faults", kind="act_then_drop", method="POST", path="/tickets.json", times=1)

    def task_without_an_answer(self) -> None:
        self.rig.site.post("/control/faults", kind="act_then_drop", method="PATCH", path="/sobjects/Task", times=1)

    def worker_killed_while_charging(self) -> None:
        self.rig.to_chargebee.hold_answer_to(b"/collect_payment")
        with contextlib.suppress(AssertionError):
            self.rig.to_chargebee.wait_held(10)
            self.rig.kill("worker")
            self.rig.kill("worker-2")
            self.rig.start("worker")
            self.rig.start("worker-2")
        self.rig.to_chargebee.let_through()

    def mail_without_an_answer(self) -> None:
        self.rig.to_mail.hold_answer_to(b"\r\n.\r\n")
        with contextlib.suppress(AssertionError):
            self.rig.to_mail.wait_held(15)
        self.rig.to_mail.refuse()
        self._wait()
        self.rig.to_mail.let_through()

    def chargebee_away(self) -> None:
        self.rig.to_chargebee.refuse()
        self._wait()
        self.rig.to_chargebee.let_through()

    def chargebee_answers_503(self) -> None:
        self.rig.site.post("/control/faults", kind="status", status=503, path="/api/v2/", times=5)

    def chargebee_asks_to_wait(self) -> None:
        self.rig.site.post("/control/faults", kind="status", status=429, retry_after=5, path="/api/v2/", times=2)

    # -- servers ----------------------------------------------------------------------------------------------------------------------

    def broker_forgets(self) -> None:
        if self.rig.has_servers:
            self.rig.redis.client().flushall()
            return
        for message in (self.rig.var_dir / "broker" / "queue").glob("*"):
            message.unlink(missing_ok=True)

    def broker_killed(self) -> None:
        self.rig.redis.kill()
        self._wait()
        self.rig.redis.start()

    def broker_frozen(self) -> None:
        self.rig.redis.freeze()
        self._wait()
        self.rig.redis.thaw()

    def database_restarted(self) -> None:
        self.rig.postgres.restart_at_once()

    def database_lines_cut(self) -> None:
        self.rig.to_database.cut()

    def _wait(self) -> None:
        time.sleep(self._for)


def mend(rig: Rig) -> None:
    """Everything whole: lines open, no fault set, each process there."""
    for proxy in rig.proxies:
        proxy.let_through()
    rig.site.delete("/control/faults")
    there = {child.name for child in rig.group.children if child.process.poll() is None}
    for name in {"web", "worker", "worker-2", "beat"} - there:
        rig.group.children[:] = [child for child in rig.group.children if child.name != name]
        rig.start(name)
