"""Sealed words: readable with the customer's key, for that customer only, until the key is dropped."""

from __future__ import annotations

import sqlite3

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from audit import keys, reads, seal
from audit.actor import system
from audit.models import CustomerKey, Entry, PersonalDataRead, RetiredSecret

WHO = system("test")
WORDS = "Dear Zephyrine Quillfeather, your invoice is open"


@pytest.fixture
def master(settings):
    settings.MASTER_KEY, settings.MASTER_KEYS_OLD = b"1" * 32, []
    return settings


@pytest.mark.django_db
def test_words_come_back_and_the_blob_holds_none_of_them(master):
    blob = seal.seal("cus_1", WORDS)
    assert seal.unseal("cus_1", blob) == WORDS
    assert b"Zephyrine" not in blob
    assert seal.seal("cus_1", WORDS) != blob  # a fresh nonce each time
    assert CustomerKey.objects.count() == 1


@pytest.mark.django_db
def test_a_blob_is_bound_to_its_customer(master):
    blob = seal.seal("cus_1", WORDS)
    seal.seal("cus_2", "x")
    with pytest.raises(keys.Forged):
        seal.unseal("cus_2", blob)
    # nor does it help to hand the other customer the key: the wrapping is bound as well
    key = CustomerKey.objects.get(pk="cus_1")
    CustomerKey.objects.filter(pk="cus_2").update(wrapped=key.wrapped)
    with pytest.raises(keys.Forged):
        seal.unseal("cus_2", blob)


@pytest.mark.django_db
@pytest.mark.parametrize("broken", [b"", b"\x01", b"\x02" + b"0" * 60])
def test_what_is_no_sealed_text_is_refused(master, broken):
    seal.seal("cus_1", WORDS)
    with pytest.raises(keys.Forged):
        seal.unseal("cus_1", broken)
    with pytest.raises(keys.Forged):
        seal.unseal("cus_unknown", seal.seal("cus_1", WORDS))


@pytest.mark.django_db
def test_a_changed_bit_is_noticed(master):
    blob = bytearray(seal.seal("cus_1", WORDS))
    blob[-1] ^= 1
    with pytest.raises(keys.Forged):
        seal.unseal("cus_1", bytes(blob))


@pytest.mark.django_db
def test_erasing_is_for_good_and_written_down_once(master):
    blob = seal.seal("cus_1", WORDS)
    other = seal.seal("cus_2", WORDS)
    assert seal.erase_customer("cus_1", WHO, "customer_request") is True
    assert seal.erase_customer("cus_1", WHO, "customer_request") is False
    for act in (lambda: seal.unseal("cus_1", blob), lambda: seal.seal("cus_1", "again")):
        with pytest.raises(seal.Erased):
            act()
    assert seal.unseal("cus_2", other) == WORDS
    assert seal.is_erased("cus_1")
    assert not seal.is_erased("cus_2")
    entry = Entry.objects.get()
    assert (entry.kind, entry.chargebee_customer_id, entry.data) == ("customer.erased", "cus_1", {"reason": "customer_request"})


@pytest.mark.django_db
def test_a_customer_without_any_words_can_be_erased_ahead(master):
    assert seal.erase_customer("cus_9", WHO, "retention") is True
    with pytest.raises(seal.Erased):
        seal.seal("cus_9", WORDS)


@pytest.mark.django_db
@pytest.mark.parametrize(("customer", "reason"), [("cus_1", "because Zephyrine asked"), ("", "retention")])
def test_a_reason_in_free_text_or_no_customer_is_refused_and_nothing_is_dropped(master, customer, reason):
    blob = seal.seal("cus_1", WORDS)
    with pytest.raises(ValueError):
        seal.erase_customer(customer, WHO, reason)
    assert seal.unseal("cus_1", blob) == WORDS
    assert Entry.objects.count() == 0


@pytest.mark.django_db
def test_rotation_wraps_every_key_anew_and_old_words_stay_readable(master):
    blobs = {f"cus_{n}": seal.seal(f"cus_{n}", f"{WORDS} {n}") for n in range(7)}
    seal.erase_customer("cus_6", WHO, "retention")
    old_secret = keys.audit_secret(b"1" * 32)

    master.MASTER_KEY, master.MASTER_KEYS_OLD = b"2" * 32, [b"1" * 32]
    assert seal.unseal("cus_0", blobs["cus_0"]) == f"{WORDS} 0"  # before rotation both keys serve
    assert seal.rotate_master_key(WHO) == 6
    assert seal.rotate_master_key(WHO) == 0

    master.MASTER_KEYS_OLD = []
    for n in range(6):
        assert seal.unseal(f"cus_{n}", blobs[f"cus_{n}"]) == f"{WORDS} {n}"
    with pytest.raises(seal.Erased):
        seal.unseal("cus_6", blobs["cus_6"])
    assert old_secret in keys.known_secrets()

    # a second rotation carries the retired secrets along
    master.MASTER_KEY, master.MASTER_KEYS_OLD = b"3" * 32, [b"2" * 32]
    seal.rotate_master_key(WHO)
    master.MASTER_KEYS_OLD = []
    assert keys.known_secrets() == [keys.audit_secret(b"3" * 32), old_secret, keys.audit_secret(b"2" * 32)]
    assert RetiredSecret.objects.count() == 2


@pytest.mark.django_db
def test_a_lost_master_key_is_said_by_its_fingerprint(master):
    blob = seal.seal("cus_1", WORDS)
    master.MASTER_KEY = b"9" * 32
    with pytest.raises(keys.MasterKeyMissing, match=keys.fingerprint(b"1" * 32)):
        seal.unseal("cus_1", blob)


@pytest.mark.django_db
def test_a_read_of_personal_data_is_written_down_with_its_reason_sealed(master):
    user = get_user_model().objects.create_user("specialist")
    read_id = reads.note_personal_read(user, "cus_1", "billing address", "Zephyrine phoned about the address")
    read = PersonalDataRead.objects.get(pk=read_id)
    assert (read.user_id, read.user_label, read.chargebee_customer_id, read.what) == (
        str(user.pk),
        "specialist",
        "cus_1",
        "billing address",
    )
    assert reads.reason(read) == "Zephyrine phoned about the address"
    entry = Entry.objects.get()
    assert (entry.kind, entry.actor_id, entry.subject_id, entry.data) == (
        "personal_data.read",
        str(user.pk),
        str(read_id),
        {"what": "billing address"},
    )

    seal.erase_customer("cus_1", WHO, "customer_request")
    with pytest.raises(seal.Erased):
        reads.reason(read)
    late = PersonalDataRead.objects.get(pk=reads.note_personal_read(user, "cus_1", "billing address", "Zephyrine again"))
    assert bytes(late.why_sealed) == b""


@pytest.mark.django_db
def test_a_read_without_a_reason_is_refused(master):
    user = get_user_model().objects.create_user("specialist")
    with pytest.raises(ValueError, match="needs a reason"):
        reads.note_personal_read(user, "cus_1", "billing address", "  ")
    assert PersonalDataRead.objects.count() == 0
    assert Entry.objects.count() == 0


@pytest.mark.django_db
def test_no_readable_word_is_left_in_any_column_of_the_database(master):
    user = get_user_model().objects.create_user("specialist")
    reads.note_personal_read(user, "cus_1", "billing address", WORDS)
    seal.seal("cus_1", WORDS)
    seal.erase_customer("cus_1", WHO, "customer_request")
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                for value in row:
                    raw = bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()
                    assert b"Zephyrine" not in raw, table
                    assert b"Quillfeather" not in raw, table


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's dead rows are the vacuum's work")
@pytest.mark.django_db
def test_sqlite_overwrites_what_is_deleted():
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA secure_delete")
        assert cursor.fetchone()[0] == 1
    assert sqlite3.sqlite_version_info >= (3, 31)
