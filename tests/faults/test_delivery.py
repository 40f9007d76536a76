"""Delivery fails: senders are slow or go away, web is killed between commit and answer. What was answered 200 is a row, and nothing else is."""

from __future__ import annotations

import socket
import threading
import time

import httpx
from django.db import connection, connections

from billing_ai.inbox.models import Event
from tests.faults.rig import AUTH, Rig, until
from tests.faults.test_machines import webhook


def slow_sender(rig: Rig, authorization: str) -> socket.socket:
    """Sends its headers and a byte, and then nothing for as long as it is open."""
    sender = socket.create_connection(("127.0.0.1", rig.web_port), timeout=30)
    head = (
        "POST /webhooks/chargebee/ HTTP/1.1",
        f"Host: 127.0.0.1:{rig.web_port}",
        f"Authorization: {authorization}",
        "Content-Type: application/json",
        "Content-Length: 5000",
    )
    sender.sendall(("\r\n".join(head) + "\r\n\r\n{").encode())
    return sender


def test_a_slow_body_holds_one_thread_and_nobody_else(rig: Rig) -> None:
    customer = rig.customer()
    # given as many slow senders who know the password as leave one thread free, and a crowd who do not know it
    known = [slow_sender(rig, AUTH["Authorization"]) for _ in range(3)]
    strangers = [slow_sender(rig, "Basic d3Jvbmc6d3Jvbmc=") for _ in range(12)]
    try:
        # then the strangers are sent away without their body
        for stranger in strangers:
            assert stranger.recv(12) == b"HTTP/1.1 401"
        # and the others' news is taken
        for number in range(5):
            assert rig.post(webhook(f"ev_beside_slow_{number}", customer["id"])).status_code == 200
    finally:
        for sender in (*known, *strangers):
            sender.close()
    # and of those who went away nothing is kept
    assert Event.objects.filter(chargebee_event_id__startswith="ev_beside_slow_").count() == 5
    until(
        "all threads are free again",
        lambda: all(rig.post(webhook(f"ev_after_slow_{n}", customer["id"])).status_code == 200 for n in range(8)),
    )


def test_web_is_killed_while_it_takes_webhooks(rig: Rig) -> None:
    """Crash before the commit: not answered and not stored, or it is sent again. Crash after it: stored, and what comes again is known."""
    customer = rig.customer()
    answered: set[str] = set()
    sent: list[str] = []
    stop = threading.Event()

    def send() -> None:
        # As Chargebee: what is not answered is sent again.
        number = 0
        with httpx.Client(base_url=f"http://127.0.0.1:{rig.web_port}", timeout=10, trust_env=False) as client:
            while not stop.is_set():
                name = f"ev_killed_{threading.get_ident()}_{number}"
                sent.append(name)
                while name not in answered and not stop.is_set():
                    try:
                        if client.post("/webhooks/chargebee/", json=webhook(name, customer["id"]), headers=AUTH).status_code == 200:
                            answered.add(name)
                    except httpx.HTTPError:
                        time.sleep(0.05)
                number += 1
        connections.close_all()

    senders = [threading.Thread(target=send, daemon=True) for _ in range(3)]
    for sender in senders:
        sender.start()
    for round_ in range(2):
        enough = len(answered) + 20
        until(f"webhooks are taken, round {round_}", lambda enough=enough: len(answered) >= enough)
        rig.kill("web")
        rig.start("web")
    enough = len(answered) + 20
    until("webhooks are taken again", lambda: len(answered) >= enough)
    stop.set()
    for sender in senders:
        sender.join(30)
    connection.close()
    stored = set(Event.objects.filter(chargebee_event_id__startswith="ev_killed_").values_list("chargebee_event_id", flat=True))
    assert answered <= stored <= set(sent)
