"""docs/guide/api.md, followed to the letter: its commands run with curl against a live server, and answer what the page shows."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from billing_ai.api import changes, tasks
from tests import factories
from tests.db.api.conftest import case_of
from tests.db.api.test_reading import score

PAGE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "api.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PING = "$API/webhook-endpoints/$ENDPOINT/ping"


@dataclass
class Block:
    """One fenced block: its language and what it says."""

    language: str
    text: str


def blocks() -> list[Block]:
    return [Block(language, text) for language, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


def shape(value: Any) -> Any:
    """Which fields there are, whatever they hold. Of a list the first one stands for all."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items() if name != "data"}
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict) else []
    return None


class Shell:
    """One bash that keeps its variables from block to block, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["bash", "-u"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )  # fmt: skip

    def run(self, commands: str) -> str:
        """What the commands print."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{commands}\necho; echo ==end==\n")
        self._process.stdin.flush()
        said: list[str] = []
        for line in self._process.stdout:
            if line.strip() == "==end==":
                return "".join(said).strip()
            said.append(line)
        raise AssertionError("".join(said))

    def close(self) -> None:
        """End it, and the receiver that it started."""
        assert self._process.stdin is not None
        self._process.stdin.write("kill $(jobs -p) 2>/dev/null; wait\n")
        self._process.stdin.close()
        self._process.wait(20)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    found = Shell(tmp_path)
    yield found
    found.close()


def _until(path: Path, words: str) -> str:
    """The file's text, once it holds these words."""
    for _ in range(400):
        if path.exists() and words in path.read_text(encoding="utf-8"):
            return path.read_text(encoding="utf-8")
        time.sleep(0.05)  # another process writes it; there is nothing to wait on
    raise AssertionError(f"{words!r} did not come: {path.read_text(encoding='utf-8') if path.exists() else 'no file'}")


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="the page's commands need curl and bash")
def test_the_page_works_from_top_to_bottom(transactional_db: None, live_server: Any, shell: Shell, tmp_path: Path) -> None:
    # given a scored customer with an open case, and a person who may decide
    factories.user("specialist")
    case_of("cus_1", "")
    score("cus_1", reason_codes=0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    page = blocks()
    made, token, shown = io.StringIO(), "", 0
    for block, following in zip(page, [*page[1:], Block("", "")], strict=True):
        if block.language == "python":
            (tmp_path / "receive.py").write_text(block.text, encoding="utf-8")
        if block.language != "sh":
            continue
        if block.text.startswith("python manage.py api_token"):
            call_command(*shlex.split(block.text.replace("\\\n", " "))[2:], stdout=made)
            token = made.getvalue().split("token ")[1].split()[0]
            assert [line.split()[0] for line in made.getvalue().splitlines()] == [line.split()[0] for line in following.text.splitlines()]
            continue
        commands = re.sub(r"bai_[\w-]+", token, block.text).replace("http://127.0.0.1:8000", live_server.url).replace("9009", port)
        said = shell.run(commands)
        if PING in block.text:
            _until_listening(int(port))
            tasks.deliver()
            heard = _until(tmp_path / "received.txt", "\n")
            assert heard.startswith("signature holds: {'id': ")
            assert "'kind': 'ping'" in heard
        if following.language == "json":
            answers = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
            assert len(answers) == 1, said
            assert _compared(answers[0]) == _compared(json.loads(following.text)), block.text
            shown += 1
    # then every command of the page was run, and each that shows an answer got one of that kind
    assert shown == 9
    changes.number_all()


def _until_listening(port: int) -> None:
    for _ in range(400):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)  # another process opens it; there is nothing to wait on
    raise AssertionError(f"nobody listens on {port}")


def _compared(answer: dict[str, Any]) -> Any:
    """What has to be the same: the fields, and of an approval, a batch and a problem also what it came to."""
    fixed = {
        name: answer[name] for name in ("status", "code", "stored", "waiting", "refused", "replayed", "tier", "owner") if name in answer
    }
    answer = {**answer, "score": dict.fromkeys(answer["score"])} if isinstance(answer.get("score"), dict) else answer
    return shape({name: value for name, value in answer.items() if name != "reasons"}), fixed if "business_entity_id" not in answer else {}
