"""What every test has: no network but this machine, a clean set of caches, and the database that the environment names."""

from __future__ import annotations

import pytest
from pytest_socket import socket_allow_hosts

from tests.db.audit.flush import allow_flush


@pytest.fixture(autouse=True)
def _only_this_machine() -> None:
    """Names cannot be looked up and no address but loopback answers; a test that tries fails with the address it tried."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(autouse=True, scope="session")
def _flush_past_the_triggers():
    """Tests that commit empty all tables afterwards; the ledger's triggers would refuse."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        allow_flush(monkeypatch)
        yield
