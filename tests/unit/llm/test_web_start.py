"""The web processes never pay for the model library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def loaded_after(statement: str) -> set[str]:
    program = f"{statement}\nimport sys\nprint(*sorted(name.partition('.')[0] for name in sys.modules))"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "billing_ai.settings", "DATABASE_URL": "", "DEMO": "true"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_web_application_does_not_import_litellm():
    found = loaded_after(
        "import billing_ai.wsgi\nimport importlib\nfrom django.conf import settings\nimportlib.import_module(settings.ROOT_URLCONF)"
    )
    assert "django" in found
    assert not found & {"litellm", "openai", "tiktoken", "tokenizers"}


def test_the_gateway_itself_waits_for_its_first_call():
    found = loaded_after("import billing_ai.wsgi\nimport agents.platform.llm.gateway")
    assert not found & {"litellm", "openai", "tiktoken", "tokenizers"}


def test_preload_starts_no_thread_that_a_fork_would_lose():
    statement = (
        "import billing_ai.wsgi, threading, gc\nfrom agents.platform.llm import gateway\ngateway.preload()\n"
        "assert threading.active_count() == 1\nassert gc.get_freeze_count() > 100_000"
    )
    assert "litellm" in loaded_after(statement)


def test_after_preload_a_first_call_loads_no_more_of_the_library_into_each_child():
    statement = (
        "import billing_ai.wsgi, json, sys\nfrom agents.platform.llm import gateway, offline, provider\ngateway.preload()\n"
        "before = set(sys.modules)\noffline.compose = lambda case: case\n"
        "case = dict.fromkeys(('language', 'channel', 'tone', 'stage', 'reason_category', 'allowed_slots'), '')\n"
        "reply = provider.complete('offline/collector', [{'role': 'user', 'content': '```json\\n' + json.dumps(case) + '\\n```'}], timeout=5)\n"
        "assert json.loads(reply.text) == case\n"
        "assert [name for name in set(sys.modules) - before if name.startswith(('litellm', 'tiktoken'))] == []"
    )
    assert "tiktoken" in loaded_after(statement)
