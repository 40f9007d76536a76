"""What every test has: no network but this machine, a clean set of caches, and the database that the environment names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import TransactionTestCase
from pytest_django.plugin import DjangoDbBlocker
from pytest_socket import socket_allow_hosts

from tests.database import Installed, make_quick


@pytest.fixture(autouse=True)
def _only_this_machine() -> None:
    """Names cannot be looked up and no address but loopback answers; a test that tries fails with the address it tried."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Its own database for each worker of a run, as pytest-django has it, and one that does not wait for the disk."""
    make_quick()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The tables once a run; after a test that commits they are what they were."""
    with pytest.MonkeyPatch.context() as patch:
        with django_db_blocker.unblock():
            installed = Installed.now()
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: installed.put_back())
        yield
