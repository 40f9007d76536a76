"""The ledger in the console: look, search by exact id, follow a trace; nothing else, for nobody."""

from __future__ import annotations

import io
import zipfile
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit import ledger, reads, recipe, seal
from audit.actor import system
from audit.admin import CappedPaginator
from audit.models import Entry, PersonalDataRead

CASE = UUID("11111111-1111-4111-8111-111111111111")
WHO = system("sweep")


def write(kind: str = "proposal.approved", **more) -> int:
    values = {"trace_id": "f" * 32, "subject": ("proposal", "p1"), **more}
    with transaction.atomic():
        return ledger.append(kind, actor=WHO, **values)


@pytest.fixture
def client_of(client, db):
    def login(*permissions: str, superuser: bool = False):
        user = get_user_model().objects.create_user("someone", is_staff=True, is_superuser=superuser)
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="audit", codename__in=permissions))
        client.force_login(user)
        return client

    return login


@pytest.mark.django_db
def test_list_and_detail_show_the_entry(client_of):
    entry_id = write(data={"amount_due_minor": 4200, "note": "<b>x</b>"}, customer_id="cus_1")
    client = client_of("view_entry")
    page = client.get(reverse("admin:audit_entry_changelist")).content.decode()
    assert "proposal.approved" in page
    assert "sweep (system)" in page
    page = client.get(reverse("admin:audit_entry_change", args=[entry_id])).content.decode()
    assert "&quot;amount_due_minor&quot;: 4200" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert bytes(Entry.objects.get().hash).hex() in page


@pytest.mark.django_db
def test_nothing_can_be_changed_not_even_by_a_superuser(client_of):
    entry_id = write()
    client = client_of(superuser=True)
    assert client.get(reverse("admin:audit_entry_add")).status_code == 403
    assert client.post(reverse("admin:audit_entry_change", args=[entry_id]), {"kind": "x"}).status_code == 403
    assert client.post(reverse("admin:audit_entry_delete", args=[entry_id]), {"post": "yes"}).status_code == 403
    assert Entry.objects.get(pk=entry_id).kind == "proposal.approved"


@pytest.mark.django_db
def test_without_the_permission_nothing_is_shown(client_of):
    write(case_id=CASE)
    client = client_of()
    for name, arguments in (("audit_entry_changelist", []), ("audit_entry_trace", ["f" * 32]), ("audit_personaldataread_changelist", [])):
        assert client.get(reverse(f"admin:{name}", args=arguments)).status_code == 403
    assert client.post(reverse("admin:audit_entry_evidence", args=[CASE])).status_code == 403
    assert not Entry.objects.filter(kind="evidence.exported").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("term", ["f" * 32, str(CASE), "cus_1", "inv_1", "ev_1", "p1", "proposal.approved", "  cus_1 "])
def test_search_finds_by_each_exact_id(client_of, term):
    write(case_id=CASE, customer_id="cus_1", invoice_id="inv_1", event_id="ev_1")
    write("other", trace_id="e" * 32, subject=("run", "r2"), customer_id="cus_11")
    response = client_of("view_entry").get(reverse("admin:audit_entry_changelist"), {"q": term})
    assert [entry.kind for entry in response.context["cl"].result_list] == ["proposal.approved"]


@pytest.mark.django_db
def test_part_of_an_id_finds_nothing(client_of):
    write(customer_id="cus_1")
    response = client_of("view_entry").get(reverse("admin:audit_entry_changelist"), {"q": "cus_"})
    assert list(response.context["cl"].result_list) == []


@pytest.mark.django_db
def test_the_list_never_asks_for_distinct_values(client_of):
    write()
    client = client_of("view_entry")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = client.get(reverse("admin:audit_entry_changelist"), {"actor": "system", "since": "day"})
    assert len(response.context["cl"].result_list) == 1
    assert not [query["sql"] for query in queries if "DISTINCT" in query["sql"] and "audit_entry" in query["sql"]]
    assert list(client.get(reverse("admin:audit_entry_changelist"), {"actor": "person"}).context["cl"].result_list) == []


@pytest.mark.django_db
def test_counting_stops_at_the_cap(monkeypatch):
    monkeypatch.setattr("audit.admin._COUNT_UP_TO", 3)
    for _ in range(5):
        write()
    assert CappedPaginator(Entry.objects.order_by("-id"), 2).count == 3


@pytest.mark.django_db
def test_a_trace_is_shown_as_a_time_line_oldest_first(client_of):
    write("event.stored", event_id="ev_1")
    write("run.finished", case_id=CASE, model="offline/collector", data={"likelihood": 0.5})
    write("foreign", trace_id="e" * 32)
    client = client_of("view_entry")
    page = client.get(reverse("admin:audit_entry_trace", args=["f" * 32])).content.decode()
    assert page.index("event.stored") < page.index("run.finished")
    assert "foreign" not in page
    assert "offline/collector" in page
    assert "Evidence pack" not in page  # may look, may not export
    assert client.get(reverse("admin:audit_entry_trace", args=["unknown"])).status_code == 404


@pytest.mark.django_db
def test_one_click_gives_the_evidence_pack(client_of):
    write(case_id=CASE)
    client = client_of("view_entry", "export_evidence")
    assert "Evidence pack" in client.get(reverse("admin:audit_entry_trace", args=["f" * 32])).content.decode()
    assert client.get(reverse("admin:audit_entry_evidence", args=[CASE])).status_code == 405
    response = client.post(reverse("admin:audit_entry_evidence", args=[CASE]))
    assert response["Content-Disposition"] == f'attachment; filename="case-{CASE}.zip"'
    assert list(recipe.check(zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content))))) == []
    assert Entry.objects.get(kind="evidence.exported").actor_label == "someone"
    assert client.post(reverse("admin:audit_entry_evidence", args=[UUID(int=1)])).status_code == 404


@pytest.mark.django_db
def test_the_reason_of_a_read_is_opened_on_its_page_until_erased(client_of):
    colleague = get_user_model().objects.create_user("colleague")
    read_id = reads.note_personal_read(colleague, "cus_1", "address", "asked by phone")
    client = client_of("view_personaldataread", "view_checkpoint")
    assert "asked by phone" not in client.get(reverse("admin:audit_personaldataread_changelist"), {"q": "colleague"}).content.decode()
    address = reverse("admin:audit_personaldataread_change", args=[read_id])
    assert "asked by phone" in client.get(address).content.decode()
    seal.erase_customer("cus_1", WHO, "retention")
    page = client.get(address).content.decode()
    assert "asked by phone" not in page
    assert "erased" in page
    assert PersonalDataRead.objects.count() == 1
    assert client.get(reverse("admin:audit_checkpoint_changelist")).status_code == 200
