"""`make screenshots`: the pictures of `docs/guide/`, taken from the running demo, so that they always show what is there.

Starts the demo on free ports with data of its own, waits for the first drafts, walks through the main pages, and ends what it started.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

from billing_ai.supervisor import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURES = ROOT / "docs" / "guide" / "pictures"
PASSWORD = "demo-billing-ai"
PATIENCE_SECONDS = 240
ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip


def main() -> int:
    """Take all pictures; the exit code says whether that worked."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("Chromium is not on the path; install it or set CHROMIUM.")
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="billing-pictures-") as var_dir:
        port = free_port()
        environment = {**os.environ, "VAR_DIR": var_dir, "DEMO": "1"}
        command = [
            sys.executable,
            "manage.py",
            "demo",
            "--web-port",
            str(port),
            "--simulator-port",
            str(free_port()),
            "--smtp-port",
            str(free_port()),
        ]
        with (Path(var_dir) / "demo.log").open("w") as log:
            demo = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                wait_for_web(f"http://127.0.0.1:{port}", demo)
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(executable_path=chromium, args=ARGS)
                    context = browser.new_context(
                        viewport={"width": 1280, "height": 860},
                        base_url=f"http://127.0.0.1:{port}",
                        locale="en-GB",
                        timezone_id="Europe/Berlin",
                    )
                    context.set_default_timeout(60_000)
                    take_all(context.new_page())
                    browser.close()
            except Exception:
                log.flush()
                print((Path(var_dir) / "demo.log").read_text()[-4000:])
                raise
            finally:
                demo.send_signal(signal.SIGINT)
                try:
                    demo.wait(30)
                except subprocess.TimeoutExpired:
                    demo.kill()
    print(f"{len(list(PICTURES.glob('*.png')))} pictures in {PICTURES.relative_to(ROOT)}")
    return 0


def wait_for_web(url: str, demo: subprocess.Popen[bytes]) -> None:
    """Until the log-in answers. Raises RuntimeError when the demo ends or takes too long."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if demo.poll() is not None:
            raise RuntimeError(f"the demo ended with {demo.returncode}")
        try:
            if httpx.get(f"{url}/console/login/", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(1)
    raise RuntimeError("the demo did not answer in time")


def take_all(page: Page) -> None:
    """Each picture by its name."""

    def take(name: str, *, full: bool = False) -> None:
        page.wait_for_load_state("networkidle")
        page.screenshot(path=PICTURES / f"{name}.png", full_page=full)

    page.goto("/console/")
    take("login")
    page.fill("[name=username]", "lead")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#nav-sidebar", state="attached")
    wait_for_rows(page)
    take("queue")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-page=case]")
    take("case")
    take("case-whole", full=True)
    if page.locator("[data-gloss]").count():
        page.keyboard.press("g")
        page.wait_for_selector("[data-gloss-text] p")
        take("english")
        page.keyboard.press("g")
    page.keyboard.press("c")
    take("call")
    page.keyboard.press("Escape")
    if page.locator("[data-edit]").count():
        page.keyboard.press("e")
        page.wait_for_selector("[data-findings] li")
        take("edit")
        page.keyboard.press("Escape")
    page.keyboard.press("r")
    take("reject")
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    take("more")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    take("commands")
    page.keyboard.press("Escape")
    page.goto("/console/queue/")
    page.check("[data-all]")
    page.get_by_role("button", name="Preview a release").click()
    page.wait_for_selector("#bulk-page")
    take("release")
    wait_for_figures(page)
    take("today", full=True)
    page.goto("/console/approvals/policy/")
    take("policies")
    page.goto("/console/rule/policy/contact.frequency/")
    take("rule")
    page.goto("/console/audit/entry/")
    take("audit")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 820, "height": 1180})
    page.goto("/console/queue/")
    take("queue-dark-tablet")


def wait_for_figures(page: Page) -> None:
    """Until “Today” counts the cases that are open: its figures are added up once a minute."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        page.goto("/console/")
        if page.get_by_text("How long it has been due").count():
            return
        page.wait_for_timeout(3_000)
    raise RuntimeError("no figures on the page Today")


def wait_for_rows(page: Page) -> None:
    """Until the first drafts are in the queue."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        page.goto("/console/queue/")
        if page.locator("tr[data-row]").count() >= 3:
            return
        time.sleep(2)
    raise RuntimeError(f"no drafts came into the queue in time; the page says: {page.inner_text('#console')[:300]}")


if __name__ == "__main__":
    raise SystemExit(main())
