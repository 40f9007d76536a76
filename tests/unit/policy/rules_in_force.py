"""The rules as they are shipped, as a value, without a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from approvals.policy.defaults import LIMITS, POLICIES
from approvals.policy.rules import PhaseRule, Rule, Rules


def shipped(
    *,
    without: tuple[str, ...] = (),
    off: tuple[str, ...] = (),
    changed: Mapping[str, dict[str, Any]] | None = None,
    limits: Mapping[str, int] | None = None,
    phases: tuple[PhaseRule, ...] = (PhaseRule("dunning", "everyone", {}, "assist", 10),),
) -> Rules:
    """The default rules, with some missing, off, or changed."""
    policies = {
        row.key: Rule(row.key, row.kind, (changed or {}).get(row.key, row.params), row.key not in off, row.source)
        for row in POLICIES
        if row.key not in without
    }
    return Rules(policies, {("dunning", key): value for key, value in (LIMITS if limits is None else limits).items()}, phases)
