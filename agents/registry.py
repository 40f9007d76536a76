"""Every agent there is."""

from __future__ import annotations

from typing import Any

from agents.churn.agent import AGENT as CHURN
from agents.dunning.agent import AGENT as DUNNING
from agents.platform.contract import Agent

AGENTS: dict[str, Agent[Any, Any]] = {agent.name: agent for agent in (DUNNING, CHURN)}
"""Name → agent. Adding one is its folder, a line here, and its name in the import rules."""
