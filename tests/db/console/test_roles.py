"""Every page and order of the console for every role: who may, does; who may not changes nothing, and it is in the ledger."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.cache import cache
from django.db import models, transaction
from django.test import Client
from django.urls import get_resolver, reverse

from approvals.groups import _OUR_APPS
from approvals.policy import rules as rules_in_force
from audit.models import Entry, PersonalDataRead
from billing_ai.console import site_setup
from billing_ai.integrations.chargebee.set_up import Registered
from billing_ai.integrations.chargebee.setup_check import Finding, Level
from tests import factories
from tests.database import rows_of
from tests.db.console.orders import ORDERS, PAGES, ROLES, SEES, api, offered

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _a_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Chargebee's set-up says and does; its own tests ask the simulated site."""
    monkeypatch.setattr(site_setup, "check_site", lambda **_: [Finding("webhook.missing", Level.BLOCKING, "No endpoint.")])
    monkeypatch.setattr(site_setup.set_up, "send_events_to", lambda url, order: Registered("we_1", was_there=False))


@pytest.fixture
def people(as_user: Any) -> dict[str, tuple[str, Client]]:
    """(user id, signed-in client) by role; whoever is not signed in has no id."""
    found = {}
    for role in ROLES:
        user = None if role == "anonymous" else factories.user(role)
        found[role] = ("", Client()) if user is None else (str(user.pk), as_user(user))
    return found


def _everything() -> dict[str, list[tuple[Any, ...]]]:
    """All that is kept, but for the ledger itself. Who looked at personal data is there too: a denial fetches none."""
    kept = [model for app in (*_OUR_APPS, "churn") if app != "audit" for model in apps.get_app_config(app).get_models()]
    return rows_of([model._meta.db_table for model in (*kept, PersonalDataRead)])


class _Back:
    """What is done inside is taken back, so that the next role finds what the one before found."""

    def __enter__(self) -> None:
        cache.clear()
        self.inside = transaction.atomic()
        self.inside.__enter__()

    def __exit__(self, *raised: Any) -> None:
        transaction.set_rollback(True)
        self.inside.__exit__(*raised)
        rules_in_force.forget()


def _is_at_the_door(answer: Any) -> bool:
    return answer.status_code == 302 and answer["Location"].startswith("/console/login/")


@pytest.mark.parametrize("name", ORDERS)
def test_who_may_does_and_who_may_not_changes_nothing(name: str, chargebee: Any, people: dict[str, tuple[str, Client]]) -> None:
    order, case = ORDERS[name], factories.case(chargebee)
    for prepare in order.before:
        prepare(case)
    case.refresh_from_db()
    faults: list[str] = []
    before, noted = _everything(), Entry.objects.count()
    for role, (user_id, client) in people.items():
        with _Back():
            answer = order.ask(client, case)
            changed, entries = _everything() != before, Entry.objects.count() - noted
            refused = Entry.objects.filter(kind="console.refused", actor_id=user_id).count()
            wrong: list[object] = []
            if role in order.who:
                wanted = order.answers or (200 if order.shows else 302)
                wrong = [
                    f"answered {answer.status_code}, not {wanted}" if answer.status_code != wanted else "",
                    "was refused" if refused else "",
                    "" if order.shows or (changed and entries) else f"changed={changed}, {entries} entries",
                ]
            elif role == "anonymous":
                wrong = ["" if _is_at_the_door(answer) and not changed and not entries else f"a stranger got {answer.status_code}"]
            else:
                wrong = [
                    "changed something" if changed else "",
                    f"has {entries} entries, {refused} refusals" if (entries, refused) != (1, 1) else "",
                ]
            faults += [f"{role} {fault}" for fault in wrong if fault]
    assert faults == []
    assert _everything() == before, "what was done for one role was not taken back for the next"


@pytest.mark.parametrize("name", PAGES)
def test_who_may_look(name: str, chargebee: Any, people: dict[str, tuple[str, Client]]) -> None:
    who, args = PAGES[name]
    case = factories.case(chargebee)
    api(case)
    offered(case)
    path, found = reverse(f"console:{name}", args=args(case)), {}
    for role, (user_id, client) in people.items():
        answer = client.get(path)
        noted = Entry.objects.filter(kind="console.refused", actor_id=user_id).count()
        found[role] = "door" if _is_at_the_door(answer) else (answer.status_code, noted)
    assert found == {role: "door" if role == "anonymous" else (200, 0) if role in who else (403, 1) for role in ROLES}


def test_no_page_of_the_console_is_without_a_row(chargebee: Any, people: dict[str, tuple[str, Client]]) -> None:
    """Each address is in the table of pages, or answers that it is not looked at; and in that of orders, or answers that it takes none."""
    case, lead = factories.case(chargebee), people["lead"][1]
    ordered = {order.of.removeprefix("console:"): order for order in ORDERS.values() if order.of.startswith("console:")}
    names = {name for name in get_resolver("billing_ai.console.urls").reverse_dict if isinstance(name, str)}
    assert set(ordered) | set(PAGES) == names
    for name in names - set(PAGES):
        with _Back():
            for prepare in ordered[name].before:
                prepare(case)
            path = reverse(f"console:{name}", args=ordered[name].args(case))
            assert lead.get(path).status_code == 405, f"{name} can be looked at, and no row says by whom"
    api(case)
    offered(case)
    for name in names - set(ordered):
        assert lead.post(reverse(f"console:{name}", args=PAGES[name][1](case))).status_code == 405, f"{name} takes orders that no row has"


def test_every_order_on_a_case_has_a_row_in_the_matrix() -> None:
    from approvals.admin.acting import ACTS

    asked = {order.args(factories.case())[1] for order in ORDERS.values() if order.of == "console:act"}
    assert asked == set(ACTS)


_LOOKED_AT = {"changelist", "export"}
_NOBODYS = {"admin:auth_user", "admin:auth_group"}
"""Users and groups are for superusers."""


def _tables() -> list[str]:
    return [f"admin:{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry]


@pytest.mark.parametrize("role", ROLES)
def test_tables_are_looked_at_and_exported_by_who_may_and_changed_by_nobody(role: str, people: dict[str, tuple[str, Client]]) -> None:
    factories.case()
    user_id, client = people[role]
    before, faults, denied = _everything(), [], 0
    for model in admin.site._registry:
        table = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        may = role in SEES and table not in _NOBODYS
        row = "0" if not isinstance(model._meta.pk, models.UUIDField) else "00000000-0000-4000-8000-000000000000"
        asked = [
            ("get", "changelist", []),
            ("post", "add", []),
            ("post", "change", [row]),
            ("post", "delete", [row]),
            *([("get", "export", [])] if model._meta.app_label not in ("audit", "auth") else []),
            *([("get", "change", [row])] if not may else []),
        ]
        for method, what, args in asked:
            answer = getattr(client, method)(reverse(f"{table}_{what}", args=args))
            if role == "anonymous":
                right = _is_at_the_door(answer)
            else:
                right = answer.status_code == (200 if may and what in _LOOKED_AT else 403)
                denied += answer.status_code == 403
            if not right:
                faults.append(f"{method} {table}_{what}: {answer.status_code}")
    assert faults == []
    assert _everything() == before
    assert Entry.objects.filter(kind="console.refused", actor_id=user_id).count() == denied
    # Who took a list away is in the ledger, once a list; nothing else was written.
    lists = [model._meta.label_lower for model in admin.site._registry if model._meta.app_label not in ("audit", "auth")]
    taken = Entry.objects.filter(kind="table.exported", actor_id=user_id).values_list("subject_id", flat=True)
    assert sorted(taken) == (sorted(lists) if role in SEES else [])
    assert Entry.objects.count() == denied + len(taken)


_DJANGOS_OWN = {
    "index", "login", "logout", "password_change", "password_change_done", "search", "autocomplete", "jsi18n", "view_on_site", "app_list",
    "auth_user_password_change", "audit_entry_trace", "audit_entry_evidence",
}  # fmt: skip
"""Pages of the admin that are no table: tested by name below, in the table of orders, or nothing but the person's own."""


def test_no_page_of_the_admin_is_without_a_row() -> None:
    kinds = {
        f"{table.removeprefix('admin:')}_{what}"
        for table in _tables()
        for what in ("changelist", "export", "add", "change", "delete", "history")
    }
    names = {name for name in get_resolver("billing_ai.urls").namespace_dict["admin"][1].reverse_dict if isinstance(name, str)}
    assert names - kinds == _DJANGOS_OWN


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/console/", {*SEES, "integration", "nobody"}),
        ("/console/approvals/", SEES),
        ("/console/auth/user/1/password/", set()),
        ("/console/audit/entry/trace/{trace}/", SEES),
        ("/console/autocomplete/?app_label=approvals&model_name=proposal&field_name=case", SEES),
        ("/console/approvals/policy/contact.frequency/history/", SEES),
        ("/console/r/1/1/", set()),
    ],
)
def test_the_admins_other_pages(path: str, who: set[str], people: dict[str, tuple[str, Client]], chargebee: Any) -> None:
    case = factories.case(chargebee)
    ORDERS["note"].ask(people["lead"][1], case)
    path = path.format(trace=Entry.objects.latest("pk").trace_id)
    found = {role: client.get(path) for role, (_, client) in people.items()}
    assert {role for role, answer in found.items() if answer.status_code == 200} == who
    assert _is_at_the_door(found["anonymous"])
    if who == {*SEES, "integration", "nobody"}:
        # It is everybody's first page; without a role there is nothing on it.
        assert "Due today" in found["finance"].content.decode()
        assert all("Due today" not in found[role].content.decode() for role in ("integration", "nobody"))


def test_a_search_finds_only_the_tables_that_one_may_see(people: dict[str, tuple[str, Client]]) -> None:
    found = {role: "Proposals" in client.get("/console/search/?s=propos").content.decode() for role, (_, client) in people.items()}
    assert found == {role: role in SEES for role in ROLES}


def test_names_are_only_for_those_who_may_see_them(chargebee: Any, as_user: Any) -> None:
    case = factories.case(chargebee, first_name="Greta", last_name="Unverkennbar")
    auditor = as_user(factories.user("auditor"))
    for path in (
        f"/console/case/{case.pk}/",
        f"/console/customers/{case.chargebee_customer_id}/",
        f"/console/contact/{case.chargebee_customer_id}/",
    ):
        page = auditor.get(path).content.decode()
        assert "Unverkennbar" not in page
        assert "Greta" not in page
    assert "Your role does not see names and addresses." in auditor.get(f"/console/case/{case.pk}/").content.decode()
    assert not PersonalDataRead.objects.exists()
