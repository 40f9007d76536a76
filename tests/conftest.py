"""What every test has: no network but this machine, a clean set of caches, and the database that the environment names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import TransactionTestCase, override_settings
from pytest_django.plugin import DjangoDbBlocker
from pytest_socket import socket_allow_hosts
from whitenoise.middleware import WhiteNoiseMiddleware

from tests.database import Installed, make_quick


@pytest.fixture(autouse=True)
def _only_this_machine() -> None:
    """Names cannot be looked up and no address but loopback answers; a test that tries fails with the address it tried."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(autouse=True, scope="session")
def _quick_passwords(django_test_environment: None) -> Iterator[None]:
    """The strong hash is slow on purpose, and no test asks how slow."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(autouse=True, scope="session")
def _static_files_are_found_once() -> Iterator[None]:
    """Each test client loads the middleware anew, and WhiteNoise then opens every static file: they stay the same during a run."""
    look = WhiteNoiseMiddleware.add_files_from_finders
    found: dict[str, object] = {}

    def look_once(self: WhiteNoiseMiddleware) -> None:
        if not found:
            look(self)
            found.update(self.files)
        self.files.update(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", look_once)
        yield


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
