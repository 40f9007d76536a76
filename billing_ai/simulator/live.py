"""Life goes on: now and then a payment fails, a customer pays, someone changes their card."""

from __future__ import annotations

import asyncio
import logging

from billing_ai.simulator import actions
from billing_ai.simulator.errors import ApiError
from billing_ai.simulator.site import Site

logger = logging.getLogger(__name__)
SHORTEST_SECONDS, LONGEST_SECONDS = 20, 40
FAILURE_SHARE = 0.65
CARD_SHARE = 0.3
_CODES = (
    "insufficient_funds",
    "insufficient_funds",
    "insufficient_funds",
    "do_not_honor",
    "expired",
    "auth_required",
    "lost",
    "processor_error",
    "fraud",
)


class Life:
    """Something happens every 20 to 40 seconds."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._site.random.uniform(SHORTEST_SECONDS, LONGEST_SECONDS))
            try:
                self.happen()
            except ApiError as error:
                logger.info("nothing happened: %s", error)

    def happen(self) -> str:
        """One thing, at random; what it was. Raises ApiError when nothing can happen."""
        site = self._site
        unpaid = site.store.find("invoice", "status = 'payment_due'", order="at", limit=200)
        wants_failure = not unpaid or site.random.random() < FAILURE_SHARE
        with site.store.writing():
            try:
                if wants_failure and self._fail(anyway=not unpaid):
                    return "a payment failed"
                invoice = site.random.choice(unpaid)
                if site.random.random() < CARD_SHARE:
                    actions.change_card(site, invoice["customer_id"])
                    return "a card was changed"
                actions.pay(site, invoice["id"], source="portal")
                return "a customer paid"
            finally:
                site.source = "api"

    def _fail(self, *, anyway: bool) -> bool:
        """Fail somebody's payment; False when nobody is left who pays (raised, if it has to be)."""
        try:
            actions.fail_payment(self._site, code=self._site.random.choice(_CODES))
        except ApiError:
            if anyway:
                raise
            return False
        return True
