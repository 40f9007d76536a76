"""Which prompt is live: a version in a file is offered by one lead and put live by another; the way back to the one before takes one lead, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents import releasing
from agents.models import Release
from agents.platform.prompts import Prompt, prompts_of
from agents.registry import AGENTS
from approvals.people import Refused

if TYPE_CHECKING:
    from django.contrib.auth.models import User

KIND = "prompt"


@dataclass(frozen=True, slots=True)
class Version:
    """One prompt file and its release, if it was ever offered. `is_live`: what the agent uses now."""

    prompt: Prompt
    release: Release | None
    is_live: bool

    @property
    def is_unchanged(self) -> bool:
        """Whether the file is still what was offered."""
        return self.release is None or self.release.content_hash == self.prompt.content_hash


def versions() -> list[Version]:
    """Every prompt file of every agent, newest version first. Raises PromptError for a malformed file."""
    rows = {
        (row.agent, row.name, row.version): row for row in Release.objects.filter(kind=KIND).select_related("offered_by", "promoted_by")
    }
    released = {(row.agent, row.name): "" for row in rows.values() if row.live_since is not None}
    released |= {(row.agent, row.name): row.version for row in rows.values() if row.status == Release.LIVE}
    found: list[Version] = []
    for agent in sorted(AGENTS):
        files = prompts_of(agent)
        # What `live_prompt` does: where nothing was ever released, the lowest version serves.
        installed = {prompt.name: prompt.version for prompt in reversed(files)}
        for prompt in reversed(files):
            serves = released.get((agent, prompt.name), installed[prompt.name])
            found.append(Version(prompt, rows.get((agent, prompt.name, prompt.version)), prompt.version == serves))
    return found


def offer(agent: str, name: str, version: str, user: User, *, reason: str) -> Release:
    """Offer a file as it is now. Raises Refused, and then nothing has changed."""
    prompt = next(
        (one.prompt for one in versions() if (one.prompt.agent, one.prompt.name, one.prompt.version) == (agent, name, version)), None
    )
    if prompt is None:
        raise Refused("no_such_prompt", "There is no such prompt file.")
    return releasing.offer_by(
        user, reason=reason, agent=agent, kind=KIND, name=name, version=version, content_hash=prompt.content_hash, figures={}
    )


def go_back(agent: str, name: str, user: User, *, reason: str) -> Release:
    """Put the version live again that was live before the present one. Raises Refused, and then nothing has changed."""
    releasing.require_may_release(user, reason)
    before = Release.objects.filter(agent=agent, kind=KIND, name=name, status=Release.RETIRED, live_since__isnull=False)
    last = before.order_by("-live_since").first()
    if last is None:
        raise Refused("nothing_before", "No other version of this prompt was live before.")
    return releasing.promote(last.pk, user, reason=reason)
