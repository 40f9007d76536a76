"""Which learned model and which prompt is live: offered by a training run or a lead, put live by a lead, retired by a lead. Nothing else changes a
release. Two leads put a version live that never was: who offered it or, where a training run did, who asked for it first, and another. One that
was live before comes back by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import transaction

from agents.models import Release
from approvals.people import Refused, require_lead
from audit import ledger
from audit.actor import agent as agent_actor
from audit.actor import person
from billing_ai.kernel import clock, ids

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def offer(*, agent: str, kind: str, name: str, version: str, content_hash: str, figures: Mapping[str, Any]) -> Release:
    """Offer a version to the leads. The same version is offered once."""
    with transaction.atomic():
        release, is_new = Release.objects.get_or_create(
            agent=agent, kind=kind, name=name, version=version, defaults={"content_hash": content_hash, "figures": dict(figures)}
        )
        if is_new:
            ledger.append(
                "release.offered",
                actor=agent_actor(agent),
                trace_id=ids.new_trace_id(),
                subject=("release", str(release.pk)),
                agent=agent,
                data={"kind": kind, "name": name, "version": version, "content_hash": content_hash},
            )
    return release


def offer_by(
    user: User, *, reason: str, agent: str, kind: str, name: str, version: str, content_hash: str, figures: Mapping[str, Any]
) -> Release:
    """A lead's offer. Raises Refused, and then nothing has changed."""
    require_may_release(user, reason)
    with transaction.atomic():
        if Release.objects.filter(agent=agent, kind=kind, name=name, version=version).exists():
            raise Refused("already_offered", "This version was offered before; a changed text needs a new version.")
        release = Release(
            agent=agent, kind=kind, name=name, version=version, content_hash=content_hash, figures=dict(figures), offered_by=user
        )
        _move(release, Release.OFFERED, user, reason)
    return release


def promote(release_id: int, user: User, *, reason: str) -> Release:
    """Put an offered or retired version live; the one that was live is retired. Raises Refused, and then nothing has changed.

    Of a version that no person offered the first lead's yes is only noted, and the version stays offered: see its status.
    """
    require_may_release(user, reason)
    with transaction.atomic():
        release = _locked(release_id)
        if release.status == Release.LIVE:
            raise Refused("already_live", "This version is live already.")
        if release.live_since is None and release.offered_by_id is None:
            release.offered_by = user
            _move(release, Release.OFFERED, user, reason)
            return release
        if release.offered_by_id == user.pk and release.live_since is None:
            raise Refused("second_person", "You offered this version: another lead puts it live.")
        others = Release.objects.select_for_update().filter(agent=release.agent, kind=release.kind, name=release.name, status=Release.LIVE)
        for other in others:
            _move(other, Release.RETIRED, user, f"replaced by {release.version}")
        release.promoted_by, release.live_since = user, clock.now()
        _move(release, Release.LIVE, user, reason)
    return release


def retire(release_id: int, user: User, *, reason: str) -> Release:
    """Take a version out of service, or an offer off the table. Raises Refused, and then nothing has changed."""
    require_may_release(user, reason)
    with transaction.atomic():
        release = _locked(release_id)
        if release.status == Release.RETIRED:
            raise Refused("already_retired", "This version is retired already.")
        _move(release, Release.RETIRED, user, reason)
    return release


def _locked(release_id: int) -> Release:
    release = Release.objects.select_for_update(of=("self",)).filter(pk=release_id).first()
    if release is None:
        raise Refused("no_such_release", "There is no such release.")
    return release


def require_may_release(user: User, reason: str) -> None:
    """Raises Refused for whoever may not change what serves, and where no reason is given."""
    require_lead(user)
    if not user.has_perm("approvals.change_rules"):
        raise Refused("not_allowed", "Your role may not change rules.")
    if not reason.strip():
        raise Refused("needs_reason", "Say why, for those who come after.")


def _move(release: Release, status: str, user: User, reason: str) -> None:
    before, release.status, release.reason = release.status, status, reason.strip()
    release._history_user = user  # type: ignore[attr-defined]  # simple-history reads it from the instance
    release._change_reason = reason.strip()[:500]  # type: ignore[attr-defined]
    release.save()
    ledger.append(
        f"release.{status}",
        actor=person(user),
        trace_id=ids.new_trace_id(),
        subject=("release", str(release.pk)),
        agent=release.agent,
        data={"before": before, "version": release.version, "content_hash": release.content_hash, "reason": reason.strip()[:300]},
    )
