"""The page of prompts: two leads to put one live, one to go back, and nobody else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from agents import prompt_releases
from agents.models import Release
from agents.platform import prompts
from audit.models import Entry
from tests.factories import PASSWORD, user

pytestmark = pytest.mark.django_db


def signed_in(role: str, name: str) -> Client:
    client = Client()
    client.login(username=user(role, name).username, password=PASSWORD)
    return client


@pytest.fixture(autouse=True)
def _two_versions(tmp_path: Path, monkeypatch: Any) -> Any:
    """The dunning agent's prompt and a second version of it."""
    folder = tmp_path / "dunning" / "prompts"
    shutil.copytree(prompts.AGENTS_ROOT / "dunning" / "prompts", folder)
    first = (folder / "v1.md").read_text(encoding="utf-8")
    (folder / "v2.md").write_text(first.replace("version: v1", "version: v2").replace("never clever", "never witty"), encoding="utf-8")
    monkeypatch.setattr(prompt_releases, "prompts_of", lambda agent: prompts.prompts_of(agent, tmp_path))
    monkeypatch.setattr(prompts, "_packaged", lambda agent: prompts.prompts_of(agent, tmp_path))


def post(client: Client, step: str, version: str = "v1") -> str:
    form = {"agent": "dunning", "name": "dunning", "version": version, "step": step, "reason": "Reads better."}
    return client.post(reverse("console:prompts"), form, follow=True).content.decode()


def test_two_leads_put_a_version_live_and_one_goes_back() -> None:
    one, other = signed_in("lead", "ines"), signed_in("lead", "omar")
    # without any release the installed file serves
    for version, before in (("v1", "v1"), ("v2", "v1")):
        post(one, "offer", version)
        assert "another lead puts it live" in post(one, "promote", version)
        assert prompts.live_prompt("dunning").version == before
        post(other, "promote", version)
        assert prompts.live_prompt("dunning").version == version
    assert "The version before is live again." in post(one, "back", "v2")
    assert prompts.live_prompt("dunning").version == "v1"
    assert dict(Release.objects.values_list("version", "status")) == {"v1": "live", "v2": "retired"}
    assert Release.objects.get(version="v2").history.count() == 3
    live = Entry.objects.filter(kind="release.live").order_by("at", "serial")
    assert [entry.data["version"] for entry in live] == ["v1", "v2", "v1"]


def test_nobody_but_a_lead_changes_a_prompt() -> None:
    post(signed_in("specialist", "sam"), "offer")
    assert not Release.objects.exists()
    assert "never witty" in signed_in("auditor", "ada").get(reverse("console:prompts")).content.decode()


def test_a_version_is_offered_once_and_there_must_be_one_to_go_back_to() -> None:
    lead = signed_in("lead", "ines")
    post(lead, "offer")
    assert "offered before" in post(lead, "offer")
    assert "No other version" in post(lead, "back")
    assert "no such prompt" in post(lead, "offer", "v9")
    assert "Choose what to do" in post(lead, "burn")
    assert list(Release.objects.values_list("version", "status")) == [("v1", "offered")]


@pytest.mark.parametrize(("role", "has_them"), [("lead", True), ("auditor", True), ("nobody", False)])
def test_prompts_and_house_style_are_in_the_navigation_of_who_may_use_them(as_user: Any, role: str, has_them: bool) -> None:
    page = as_user(user(role)).get("/console/").content.decode()
    found = [f'href="{address}"' in page for address in ("/console/prompts/", "/console/brand/")]
    assert found == [has_them, has_them]
