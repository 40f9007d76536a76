"""Prompts are files with a version and a hash; a Release row says which is live. A prompt is strict: what it declares it must get, and nothing else.

A file is `agents/<agent>/prompts/<version>.md` for the agent's main prompt, `<name>.<version>.md` for a further one: front matter between two
lines of `---` (name, version, purpose, schema, variables), the standing orders, a line `---`, and the case. `[[variable]]` stands for the
variable's value as JSON, so that no value can leave its quotes; `{{ slot }}` is left alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.db.models import Q, QuerySet

from agents.models import Release

AGENTS_ROOT = Path(__file__).resolve().parent.parent

PromptValue = str | int | bool | tuple[str, ...]


class PromptError(ValueError):
    """A prompt file is malformed, missing, or changed since its release; the message names it."""


class PromptVariableError(PromptError):
    """A variable that the prompt needs is missing, or one that it does not know was given; `variables` names them."""

    def __init__(self, prompt: str, what: str, variables: tuple[str, ...]) -> None:
        super().__init__(f"prompt {prompt}: {what} {', '.join(variables)}")
        self.variables = variables


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of one prompt. `content_hash` is the SHA-256, in hex, of the file's bytes."""

    agent: str
    name: str
    version: str
    purpose: str
    schema: str
    variables: frozenset[str]
    system: str
    case: str
    content_hash: str

    def render(self, values: Mapping[str, PromptValue]) -> tuple[str, str]:
        """The system text and the case, filled. Raises PromptVariableError before anything is sent."""
        missing = tuple(sorted(self.variables - values.keys()))
        if missing:
            raise PromptVariableError(f"{self.agent}/{self.name} {self.version}", "missing", missing)
        unknown = tuple(sorted(values.keys() - self.variables))
        if unknown:
            raise PromptVariableError(f"{self.agent}/{self.name} {self.version}", "unknown", unknown)
        return _fill(self.system, values), _fill(self.case, values)


_PLACE = re.compile(r"\[\[\s*([a-z_]+)\s*\]\]")
_FRONT = re.compile(r"\A---\n(?P<head>.*?)\n---\n(?P<system>.*?)\n---\n(?P<case>.*)\Z", re.DOTALL)
_FIELDS = frozenset({"name", "version", "purpose", "schema", "variables"})


def _fill(text: str, values: Mapping[str, PromptValue]) -> str:
    def value(found: re.Match[str]) -> str:
        given = values[found.group(1)]
        return json.dumps(list(given) if isinstance(given, tuple) else given, ensure_ascii=False)

    return _PLACE.sub(value, text)


def parse(agent: str, content: bytes, source: str) -> Prompt:
    """The prompt in a file's bytes. Raises PromptError, which names `source`, when anything is missing, doubled, or used and not declared."""
    found = _FRONT.match(content.decode("utf-8"))
    if found is None:
        raise PromptError(f"{source}: needs front matter, standing orders and a case, each after a line of ---")
    head: dict[str, str] = {}
    for line in found["head"].splitlines():
        key, colon, value = line.partition(":")
        if not colon or key.strip() in head:
            raise PromptError(f"{source}: front matter line {line!r} is not one new `key: value`")
        head[key.strip()] = value.strip()
    if head.keys() != _FIELDS:
        raise PromptError(f"{source}: front matter must have exactly {', '.join(sorted(_FIELDS))}")
    declared = frozenset(word.strip() for word in head["variables"].split(",") if word.strip())
    used = frozenset(_PLACE.findall(found["system"] + found["case"]))
    if declared != used:
        raise PromptError(f"{source}: declared and used variables differ: {', '.join(sorted(declared ^ used))}")
    return Prompt(
        agent=agent,
        name=head["name"],
        version=head["version"],
        purpose=head["purpose"],
        schema=head["schema"],
        variables=declared,
        system=found["system"].strip(),
        case=found["case"].strip(),
        content_hash=hashlib.sha256(content).hexdigest(),
    )


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def prompts_of(agent: str, root: Path = AGENTS_ROOT) -> tuple[Prompt, ...]:
    """Every prompt file of one agent, by name, then lowest version first. Raises PromptError for a malformed file or one named otherwise than
    its front matter says."""
    found = []
    for path in sorted((root / agent / "prompts").glob("*.md")):
        prompt = parse(agent, path.read_bytes(), f"{agent}/prompts/{path.name}")
        expected = {f"{prompt.name}.{prompt.version}.md"} | ({f"{prompt.version}.md"} if prompt.name == agent else set())
        if path.name not in expected:
            raise PromptError(f"{agent}/prompts/{path.name}: front matter says {prompt.name} {prompt.version}")
        found.append(prompt)
    return tuple(sorted(found, key=lambda prompt: (prompt.name, _order(prompt.version))))


@lru_cache(maxsize=32)
def _packaged(agent: str) -> tuple[Prompt, ...]:
    return prompts_of(agent)


def released(agent: str) -> QuerySet[Release]:
    """The prompts of an agent that are or were live, as a question to be asked with others."""
    return Release.objects.filter(agent=agent, kind="prompt").filter(Q(status=Release.LIVE) | Q(live_since__isnull=False))


def live_prompt(agent: str, name: str = "", *, releases: Iterable[Release] | None = None) -> Prompt:
    """The prompt that is live: the version of the live Release, or, where none ever was, the lowest-numbered file, which is the installed one.

    `name` is the agent's own by default. A higher file serves only after its release, and when the live one was retired nothing does. `releases`
    are the answer to `released`, when the caller has it.

    Raises PromptError when there is no such prompt, or when the released version's file is gone or no longer what was released: a changed prompt
    needs a new version and a new release.
    """
    name = name or agent
    candidates = [prompt for prompt in _packaged(agent) if prompt.name == name]
    if not candidates:
        raise PromptError(f"agent {agent} has no prompt {name}")
    once_live = [row for row in (released(agent) if releases is None else releases) if row.name == name]
    if not once_live:
        return candidates[0]
    release = next((row for row in once_live if row.status == Release.LIVE), None)
    if release is None:
        raise PromptError(f"no version of prompt {agent}/{name} is live: the last one was retired")
    for prompt in candidates:
        if prompt.version == release.version:
            if prompt.content_hash != release.content_hash:
                raise PromptError(f"prompt {agent}/{name} {prompt.version} is not what was released: its hash differs")
            return prompt
    raise PromptError(f"prompt {agent}/{name} {release.version} is released but its file is gone")
