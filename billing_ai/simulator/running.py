"""What happens as time goes by: due work in its order, at the moment it is due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from billing_ai.simulator import cards, changes, dunning, lifecycle, ramps, renewals, scenarios, terms, webhooks
from billing_ai.simulator.errors import ApiError
from billing_ai.simulator.site import Site

logger = logging.getLogger(__name__)

DUE_WORK: dict[str, Callable[[Site, str], None]] = {
    terms.RENEW: renewals.renew,
    terms.FALL_DUE: renewals.fall_due,
    dunning.RETRY: renewals.retry,
    webhooks.RETRY: webhooks.retry_now,
    changes.CHANGE: changes.change_due,
    lifecycle.CANCEL: lifecycle.cancel_due,
    lifecycle.PAUSE: lifecycle.pause_due,
    lifecycle.RESUME: lifecycle.resume_due,
    ramps.APPLY: ramps.apply_due,
    cards.EXPIRY: cards.expiry_due,
    scenarios.STEP: scenarios.step_due,
}
BATCH = 200
TICK_SECONDS = 0.5


class TimeKeeper:
    """Does what is due, and moves the clock when told to."""

    def __init__(self, site: Site, deliver: webhooks.Webhooks) -> None:
        self._site = site
        self._deliver = deliver
        self._moving = asyncio.Lock()
        self._travels: set[asyncio.Task[None]] = set()
        site.start_travel = self._start_travel

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if not self._moving.locked():
                self.do_due(self._site.now())

    def do_due(self, until: int, limit: int = BATCH) -> int:
        """Work through up to `limit` entries due by `until`; how many were done."""
        done = 0
        while done < limit and (entry := self._site.store.next_due(until)) is not None:
            self._do(*entry)
            done += 1
        return done

    def _do(self, seq: int, at: int, what: str, ref: str) -> None:
        """One entry, in a transaction of its own. What cannot be done is undone, noted and left behind, so that time goes on."""
        site = self._site
        site.clock.hold_at(at)
        try:
            with site.store.writing():
                site.store.done(seq)
                DUE_WORK[what](site, ref)
        except ApiError as error:
            logger.warning("due work was refused: %s %s: %s", what, ref, error)
            with site.store.writing():
                site.store.done(seq)
        finally:
            site.clock.hold_at(None)
            site.source = "api"

    def _start_travel(self, moment: int) -> None:
        task = asyncio.get_running_loop().create_task(self._travel(moment))
        self._travels.add(task)
        task.add_done_callback(self._travels.discard)

    async def _travel(self, moment: int) -> None:
        """The API's time machine: moves while the caller asks how far it is."""
        await self.move_to(moment)
        with self._site.store.writing():
            self._site.store.put("time_machine", self._site.travel_state() | {"time_travel_status": "succeeded"})

    async def move_to(self, moment: int) -> int:
        """Let time pass until `moment`: everything due happens in order, and its webhooks go out as it does. How many
        entries were worked through."""
        async with self._moving:
            total = 0
            start = self._site.now()
            if moment < start:
                raise ValueError("time only moves forward")
            while True:
                entry = self._site.store.next_due(moment)
                if entry is None:
                    break
                reached = max(entry[1], self._site.now())
                with self._site.store.writing():
                    self._site.clock.move_to(reached)
                total += self.do_due(min(moment, reached + 3_600))
                if not self._site.store.setting("hold_webhooks", False):
                    await self._deliver.deliver()
                await asyncio.sleep(0)
            with self._site.store.writing():
                self._site.clock.move_to(max(moment, self._site.now()))
            return total
