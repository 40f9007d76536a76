"""Prompts are strict files; the Release row says which is live, and a changed file is not what was released."""

from __future__ import annotations

import hashlib

import pytest

from agents.models import Release
from agents.platform import prompts
from agents.platform.prompts import PromptError, PromptVariableError
from billing_ai.kernel import clock

GOOD = "---\nname: dunning\nversion: v2\npurpose: draft\nschema: draft\nvariables: tone, note\n---\nBe kind.\n---\n[[tone]] [[note]] {{ links.pay }}\n"


def folder(tmp_path, **files):
    (tmp_path / "dunning" / "prompts").mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / "dunning" / "prompts" / f"{name}.md").write_text(content, encoding="utf-8")
    return tmp_path


def test_a_prompt_is_its_file_and_its_hash(tmp_path):
    (prompt,) = prompts.prompts_of("dunning", folder(tmp_path, v2=GOOD))
    assert (prompt.name, prompt.version, prompt.purpose, prompt.schema) == ("dunning", "v2", "draft", "draft")
    assert prompt.variables == {"tone", "note"}
    assert prompt.content_hash == hashlib.sha256(GOOD.encode()).hexdigest()


def test_values_are_written_as_json_and_slots_are_left_alone():
    prompt = prompts.parse("dunning", GOOD.encode(), "v2.md")
    system, case = prompt.render({"tone": "warm", "note": 'x"}\n```\n[[tone]]'})
    assert system == "Be kind."
    assert case == '"warm" "x\\"}\\n```\\n[[tone]]" {{ links.pay }}'


@pytest.mark.parametrize(
    ("values", "named"), [({"tone": "warm"}, ("note",)), ({"tone": "warm", "note": "", "mail": "x"}, ("mail",)), ({}, ("note", "tone"))]
)
def test_missing_and_unknown_variables_are_named(values, named):
    prompt = prompts.parse("dunning", GOOD.encode(), "v2.md")
    with pytest.raises(PromptVariableError) as raised:
        prompt.render(values)
    assert raised.value.variables == named


@pytest.mark.parametrize(
    "content",
    [
        "no front matter",
        GOOD.replace("purpose: draft\n", ""),
        GOOD.replace("purpose: draft", "purpose: draft\nowner: me"),
        GOOD.replace("purpose: draft", "purpose: draft\npurpose: other"),
        GOOD.replace("tone, note", "tone"),
        GOOD.replace("tone, note", "tone, note, more"),
    ],
)
def test_a_malformed_file_is_refused_with_its_name(content):
    with pytest.raises(PromptError, match=r"^v2\.md: "):
        prompts.parse("dunning", content.encode(), "v2.md")


def test_a_file_named_otherwise_than_it_says_is_refused(tmp_path):
    with pytest.raises(PromptError, match="front matter says dunning v2"):
        prompts.prompts_of("dunning", folder(tmp_path, v3=GOOD))


def test_versions_are_ordered_as_numbers(tmp_path):
    found = prompts.prompts_of("dunning", folder(tmp_path, **{name: GOOD.replace("v2", name) for name in ("v10", "v2", "v9")}))
    assert [prompt.version for prompt in found] == ["v2", "v9", "v10"]


@pytest.fixture
def two_versions(tmp_path, monkeypatch):
    found = prompts.prompts_of("dunning", folder(tmp_path, v2=GOOD, v3=GOOD.replace("v2", "v3")))
    monkeypatch.setattr(prompts, "_packaged", lambda agent: found)
    return found


def release(prompt, **changes):
    values = {"agent": "dunning", "kind": "prompt", "name": "dunning", "version": prompt.version, "content_hash": prompt.content_hash}
    return Release.objects.create(**{**values, "status": Release.LIVE, **changes})


@pytest.mark.django_db
def test_without_a_release_the_installed_version_is_live_and_a_new_file_changes_nothing(two_versions):
    release(two_versions[1], status=Release.OFFERED)
    assert prompts.live_prompt("dunning").version == "v2"


@pytest.mark.django_db
def test_the_release_decides_and_with_the_last_one_retired_nothing_is_live(two_versions):
    row = release(two_versions[1], live_since=clock.now())
    assert prompts.live_prompt("dunning").version == "v3"
    row.status = Release.RETIRED
    row.save()
    with pytest.raises(PromptError, match="no version of prompt dunning/dunning is live"):
        prompts.live_prompt("dunning")


@pytest.mark.django_db
def test_a_file_changed_after_its_release_is_not_used(two_versions):
    release(two_versions[0], content_hash="0" * 64)
    with pytest.raises(PromptError, match="not what was released"):
        prompts.live_prompt("dunning")


@pytest.mark.django_db
def test_a_released_version_without_its_file_is_not_replaced_in_silence(two_versions):
    release(two_versions[0], version="v7")
    with pytest.raises(PromptError, match="its file is gone"):
        prompts.live_prompt("dunning")


@pytest.mark.django_db
def test_an_unknown_prompt_is_an_error():
    with pytest.raises(PromptError, match="has no prompt summary"):
        prompts.live_prompt("dunning", "summary")


@pytest.mark.django_db
def test_the_packaged_prompt_of_dunning_asks_for_slots_only():
    prompt = prompts.live_prompt("dunning")
    assert not any(character.isdigit() for character in prompt.system.replace("1.", "").split("Rules")[0])
    assert "{{ links.pay }}" in prompt.system
