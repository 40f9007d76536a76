"""Chargebee and the help desk, answering at once: what a simulated site once answered about one failed payment, replayed in process.

The answers are recorded at the network's edge (`integrations.http.exchange`) and replayed there for as many customers as are wanted, each with
ids of its own. What the SDK and our narrowing do with an answer stays in the measurement.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

_ID = re.compile(r'"id": ?"([^"]+)"')
_SUFFIX = re.compile(r"[~_](\d{6})(?!\d)")


def record(file: Path) -> None:
    """Let one payment fail at a simulated site, take it through route and run with real answers, and keep those. Needs an empty database."""
    from django.conf import settings

    from agents import runner
    from approvals.models import Proposal
    from billing_ai.inbox import intake, routing
    from billing_ai.integrations import http
    from billing_ai.integrations.chargebee import reads
    from billing_ai.kernel import clock
    from tests.flows.conftest import World, to_office_hours
    from tests.simulator.running import running_simulator

    answers: dict[str, str] = {}
    real = http.exchange
    with running_simulator(customers=40, fresh_failures=0) as site:
        settings.CHARGEBEE_API_URL = site.api_url
        settings.CHARGEBEE_API_KEY, settings.CHARGEBEE_READ_API_KEY = site.api_key, site.read_only_key
        settings.ZENDESK_URL = f"{site.base_url}/zendesk"
        to_office_hours(site)
        world = World(site)
        world.sync_clock()
        customer = world.customer()
        world.fail(customer)
        heard = [one for one in reads.list_events(occurred_after=world.started - timedelta(minutes=1)) if one.customer_id == customer["id"]]
        event = next(one for one in heard if one.event_type == "payment_failed")

        def exchange(method: str, url: str, **more: Any) -> http.Answer:
            answer = real(method, url, **more)
            if not answer.is_success:
                raise SystemExit(f"{url}: {answer.status}")
            answers[key_of(url, more)] = answer.body.decode()
            return answer

        http.exchange = exchange  # type: ignore[assignment]
        try:
            intake.store(event, body_sha256="0" * 64)
            routing.process_due()
            runner.run_due()
        finally:
            http.exchange = real
        offset = clock.offset().total_seconds()
    if not Proposal.objects.exists():
        raise SystemExit("the recorded payment led to no proposal")
    ids = sorted({found for body in answers.values() for found in _ID.findall(body)} | {customer["id"]}, key=len, reverse=True)
    file.write_text(
        json.dumps(
            {"answers": answers, "ids": ids, "customer": customer["id"], "invoices": list(event.ids_of("invoice")), "offset": offset}
        )
    )


def key_of(url: str, more: Mapping[str, Any]) -> str:
    """What was asked for, whoever answers."""
    path = re.sub(r"^https?://[^/]+", "", url)
    asked = more.get("params") or more.get("form") or {}
    return path + "?" + json.dumps({name: str(value) for name, value in sorted(asked.items())})


class Edge:
    """The recorded answers, for customer 0, 1, 2 …; `seconds` is the CPU that answering took, which is not ours."""

    def __init__(self, file: Path) -> None:
        kept = json.loads(file.read_text())
        self.customer, self.invoices, self.offset = kept["customer"], kept["invoices"], kept["offset"]
        pattern = re.compile("|".join(rf'(?<=["/]){re.escape(one)}(?=["/?])' for one in kept["ids"]))
        # Each answer as the pieces between ids, so that replaying is one join.
        self.answers = {
            key: pattern.sub(lambda found: found.group() + "~%s", body.replace("%", "%%")) for key, body in kept["answers"].items()
        }
        self.counts = {key: body.count("~%s") for key, body in self.answers.items()}

    def customer_id(self, number: int) -> str:
        """The id of one of the customers."""
        return f"{self.customer}~{number:06d}"

    def invoice_ids(self, number: int) -> list[str]:
        """The ids of that customer's failed invoices."""
        return [f"{one}~{number:06d}" for one in self.invoices]

    def exchange(self, method: str, url: str, **more: Any) -> Any:
        """In the place of `integrations.http.exchange`."""
        import httpx

        from billing_ai.integrations.http import Answer

        asked = key_of(url, more)
        found = _SUFFIX.search(asked)
        number = found.group(1) if found else "000000"
        key = _SUFFIX.sub("", asked)
        if key not in self.answers:
            sys.stderr.write(f"nothing was recorded for {key}\n")
            raise LookupError(key)
        body = self.answers[key] % ((number,) * self.counts[key])
        return Answer(200, httpx.Headers({"content-type": "application/json"}), body.encode())

    def install(self) -> None:
        """Answer from now on, with the clock where it was when the answers were given."""
        from billing_ai.integrations import http
        from billing_ai.kernel import clock

        http.exchange = self.exchange  # type: ignore[assignment]
        clock.shift(timedelta(seconds=self.offset))


def arrive(edge: Edge, numbers: range, event_type: str, prefix: str) -> None:
    """One event for each of these customers, as the webhook would have stored it."""
    from billing_ai.inbox import intake

    for number in numbers:
        content = {
            "customer": {"id": edge.customer_id(number)},
            **(
                {"invoice": {"id": edge.invoice_ids(number)[0], "customer_id": edge.customer_id(number)}} if "payment" in event_type else {}
            ),
        }
        body = {"id": f"{prefix}{number}", "event_type": event_type, "occurred_at": 1_770_000_000, "content": content}
        intake.store(intake.read_envelope(body), body_sha256="0" * 64)
