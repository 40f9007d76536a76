"""The broker's library under a broker that goes away: it must not take the worker with it."""

from __future__ import annotations

from pathlib import Path

from kombu import Connection

import billing_ai.celery  # noqa: F401  # sets what is under test
from tests.serving import own_redis


def test_a_connection_to_a_broker_that_died_with_a_message_on_hand_can_be_let_go(tmp_path: Path) -> None:
    # given a wake-up that was taken and not yet acknowledged when the broker dies
    with own_redis(tmp_path / "redis.sock") as url:
        broker = Connection(url.replace("unix://", "redis+socket://"), transport_options={"socket_timeout": 2})
        queue = broker.SimpleQueue("wake-ups", channel=broker.default_channel)
        queue.put("inbox.process")
        assert queue.get(timeout=10).payload == "inbox.process"
    # when kombu has let go of its pool and of its transport, as it does on a lost connection before it closes the channel
    broker.default_channel._disconnect_pools()
    broker._do_close_transport()
    # then closing it raises nothing that would end the worker
    broker.release()
