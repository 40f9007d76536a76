"""Webhooks out, as Chargebee sends them: Basic auth, its retry times on the site's clock, duplicates and late ones."""

from __future__ import annotations

import asyncio
import base64
import logging
import time

import aiohttp

from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = (120, 360, 1_800, 3_600, 18_000, 86_400, 172_800)
BATCH = 64
PARALLEL = 8
LEFT_ALONE_SECONDS = 2.0
RETRY = "webhook_retry"


class Webhooks:
    """Posts pending deliveries. Knobs are settings: `duplicate_share`, `late_share`, `shuffle`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._client: aiohttp.ClientSession | None = None
        self._turn = asyncio.Lock()
        self._down: dict[str, float] = {}
        self.sent = 0

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def run(self) -> None:
        """Deliver for as long as the process lives; wakes when there is something to send."""
        while True:
            await self._site.webhooks_wanted.wait()
            self._site.webhooks_wanted.clear()
            if self._site.store.setting("hold_webhooks", False):
                await asyncio.sleep(0.2)
                continue
            reached = await self.deliver()
            if not reached:
                await asyncio.sleep(1.0)
                self._site.webhooks_wanted.set()

    async def deliver(self, *, whatever_is_due: bool = False) -> bool:
        """Send what is pending (also what waits for a retry, if asked). False when our own endpoint has never answered and does
        not listen yet: its deliveries wait without an attempt counted."""
        async with self._turn:
            if whatever_is_due:
                self._wake_waiting()
            silent: set[str] = set()
            while True:
                marks = ",".join("?" * len(silent))
                where = "status = 'pending'" + (f" AND json_extract(body,'$.endpoint_id') NOT IN ({marks})" if silent else "")
                batch = self._site.store.find("delivery", where, tuple(silent), order="at, seq", limit=BATCH)
                if not batch:
                    return not silent
                silent |= await self._send_batch(self._disorder(batch))

    def _wake_waiting(self) -> None:
        self._down.clear()
        with self._site.store.writing():
            for waiting in self._site.store.find("delivery", "status = 'waiting'"):
                self._site.store.unschedule(RETRY, waiting["id"])
                self._site.store.put("delivery", waiting | {"status": "pending"})

    async def _send_batch(self, batch: list[Thing]) -> set[str]:
        """Send a batch, the first to each endpoint alone, to see whether it is there; the ids of the endpoints that are silent."""
        tried: set[str] = set()
        silent: set[str] = set()
        rest: list[Thing] = []
        for delivery in batch:
            endpoint_id = delivery["endpoint_id"]
            if endpoint_id in tried:
                rest.append(delivery)
                continue
            tried.add(endpoint_id)
            if not await self._send(delivery):
                silent.add(endpoint_id)
        limit = asyncio.Semaphore(PARALLEL)
        going = [delivery for delivery in rest if delivery["endpoint_id"] not in silent]
        await asyncio.gather(*(self._send_within(limit, delivery) for delivery in going))
        return silent

    async def _send_within(self, limit: asyncio.Semaphore, delivery: Thing) -> bool:
        async with limit:
            return await self._send(delivery)

    def _disorder(self, batch: list[Thing]) -> list[Thing]:
        settings = self._site.store
        if settings.setting("shuffle", False):
            self._site.random.shuffle(batch)
        late_share = settings.setting("late_share", 0.0)
        if not late_share:
            return batch
        kept = []
        with self._site.store.writing():
            for delivery in batch:
                is_late = delivery["attempts"] == 0 and not delivery.get("was_late") and self._site.random.random() < late_share
                if not is_late:
                    kept.append(delivery)
                    continue
                self._site.store.put("delivery", delivery | {"status": "waiting", "was_late": True})
                self._site.store.schedule(self._site.now() + 90, RETRY, delivery["id"])
        return kept

    async def _send(self, delivery: Thing) -> bool:
        site = self._site
        body = site.store.text("event", delivery["event_id"])
        endpoint = site.store.get("webhook_endpoint", delivery["endpoint_id"])
        if body is None or endpoint is None or endpoint.get("disabled"):
            with site.store.writing():
                site.store.put("delivery", delivery | {"status": "disabled"})
            return True
        status, reason = await self._post(endpoint, body)
        if status is None and endpoint.get("_main") and not endpoint.get("_has_answered"):
            return False
        if status is not None and site.random.random() < site.store.setting("duplicate_share", 0.0):
            await self._post(endpoint, body)
        with site.store.writing():
            if status is not None and not endpoint.get("_has_answered"):
                site.store.put("webhook_endpoint", endpoint | {"_has_answered": True})
            self._record(delivery, status, reason)
        return True

    async def _post(self, endpoint: Thing, body: str) -> tuple[int | None, str]:
        """Status of the answer, or None and why there is none. An endpoint that could not be reached is left alone for a moment."""
        if self._down.get(endpoint["id"], 0.0) > time.monotonic():
            return None, "the endpoint could not be reached a moment ago"
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "ChargeBee"}
        if endpoint.get("_user"):
            pair = f"{endpoint['_user']}:{endpoint['_password']}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        try:
            async with self._session().post(endpoint["url"], data=body.encode(), headers=headers, allow_redirects=False) as response:
                await response.read()
                self.sent += 1
                return response.status, ""
        except aiohttp.ClientConnectorError as error:
            if not endpoint.get("_main") or endpoint.get("_has_answered"):
                self._down[endpoint["id"]] = time.monotonic() + LEFT_ALONE_SECONDS
            return None, f"{type(error).__name__}: {error}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return None, f"{type(error).__name__}: {error}"

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            connector = aiohttp.TCPConnector(limit=PARALLEL)
            self._client = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=20, connect=10))
        return self._client

    def _record(self, delivery: Thing, status: int | None, reason: str) -> None:
        site = self._site
        delivery |= {"attempts": delivery["attempts"] + 1, "last_status": status, "last_reason": reason, "sent_at": site.now()}
        if status is not None and 200 <= status < 300:
            delivery["status"] = "succeeded"
        elif delivery["attempts"] > len(RETRY_AFTER_SECONDS):
            delivery["status"] = "failed"
        else:
            delivery["status"] = "waiting"
            site.store.schedule(site.now() + RETRY_AFTER_SECONDS[delivery["attempts"] - 1], RETRY, delivery["id"])
        site.store.put("delivery", delivery)


def retry_now(site: Site, delivery_id: str) -> None:
    """A retry has come due on the site's clock."""
    delivery = site.store.get("delivery", delivery_id)
    if delivery and delivery["status"] == "waiting":
        site.store.put("delivery", delivery | {"status": "pending"})
        site.webhooks_wanted.set()
