"""The provider that needs no model, registered with litellm as `offline/…`: it answers the same prompt with the same JSON as any other model.

What it answers are the built-in texts, `approvals.drafts.built_in`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from approvals.drafts.built_in import compose

PROVIDER = "offline"
_FENCED = re.compile(r"```json\n(.*?)\n```", re.DOTALL)


def answer(messages: Sequence[Mapping[str, Any]]) -> str:
    """The answer, as text, to the messages that any model gets: the case is the first fenced JSON of the user's message.

    Raises ValueError when there is none, or no template fits.
    """
    case_text = next((str(message["content"]) for message in messages if message.get("role") == "user"), "")
    found = _FENCED.search(case_text)
    if found is None:
        raise ValueError("no case in the message")
    case = json.loads(found.group(1))
    missing = {"language", "channel", "tone", "stage", "reason_category", "allowed_slots"} - case.keys()
    if missing:
        raise ValueError(f"the case lacks {', '.join(sorted(missing))}")
    return json.dumps(compose(case), ensure_ascii=False)
