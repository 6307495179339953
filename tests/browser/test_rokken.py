# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of Rokken in headless Chromium, with nginx, the backend and PostgreSQL. `make test-browser` runs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect, sync_playwright

from app.rokken.backend.migrate import migrate
from app.rokken.tests.postgres import PostgresServer, free_port
from app.rokken.tests.serving import serving, settings_for

FRONTEND = Path(__file__).parents[2] / "app/rokken/frontend"
PICTURES = Path(__file__).parents[2] / ".cache/browser"
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def find(names: tuple[str, ...], package: str) -> str:
    """Return the path of a program, or fail with the package to install."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    pytest.fail(
        f"this test needs one of {', '.join(names)}; on Debian: apt-get install --no-install-recommends {package}",
        pytrace=False,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    started = PostgresServer()
    yield started
    started.remove()


@pytest.fixture(scope="module")
def site(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run nginx with the configuration of the image. Only addresses and paths of the container differ."""
    folder = tmp_path_factory.mktemp("site")
    settings = settings_for(server, folder)
    migrate(settings)
    port = free_port()
    with serving(settings) as backend:
        replaced = {
            "/dev/shm/": f"{folder}/",
            "/dev/stdout": f"{folder}/access.log",
            "listen 8080": f"listen 127.0.0.1:{port}",
            "root /srv/rokken": f"root {FRONTEND}/static",
            "rokken-backend:8000": backend.url.removeprefix("http://"),
            "/etc/nginx/mime.types": f"{folder}/mime.types",
        }
        text = (FRONTEND / "nginx.conf").read_text("utf-8")
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        kinds = "types { text/html html; text/css css; application/javascript js; }"
        (folder / "mime.types").write_text(kinds)
        # As root, nginx would serve as nobody, who may not read the checkout.
        user = "user root;\n" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(f"{user}{text}")
        command = [find(("nginx",), "nginx"), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        process = subprocess.Popen([*command, "-p", str(folder)])
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    assert requests.get(f"{url}/healthz", timeout=5).text == "ok\n"
                    break
                except requests.ConnectionError:
                    assert process.poll() is None, (folder / "error.log").read_text()
                    assert time.monotonic() < deadline, "nginx does not answer"
                    time.sleep(0.05)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The sandbox needs rights that a container does not have. The page is ours.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        path = find(BROWSERS, "chromium-headless-shell")
        started = playwright.chromium.launch(executable_path=path, args=arguments, timeout=120_000)
        yield started
        started.close()


@pytest.fixture(params=["wide-light", "phone-dark"])
def page(request: pytest.FixtureRequest, browser: Browser, site: str, server: PostgresServer) -> Iterator[Page]:
    server.execute("TRUNCATE items RESTART IDENTITY")
    narrow = request.param == "phone-dark"
    context = browser.new_context(
        viewport={"width": 360, "height": 740} if narrow else {"width": 1100, "height": 800},
        color_scheme="dark" if narrow else "light",
        is_mobile=narrow,
        has_touch=narrow,
    )
    context.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    opened = context.new_page()
    problems: list[str] = []
    foreign: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda said: problems.append(said.text) if "Content Security" in said.text else None)
    opened.on("request", lambda sent: foreign.append(sent.url) if not sent.url.startswith((site, "data:")) else None)
    opened.goto(site)
    yield opened
    PICTURES.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=PICTURES / f"{request.node.name}.png", full_page=True)
    context.close()
    assert problems == []
    assert foreign == []


def add(page: Page, name: str, description: str = "") -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Description").fill(description)
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_label("Name")).to_have_value("")


def test_items_are_created_listed_updated_and_deleted(page: Page, server: PostgresServer) -> None:
    expect(page.get_by_text("There are no items yet.")).to_be_visible()
    add(page, "Bread <b>& more</b>", "Two loaves\nfrom the corner")
    add(page, "Cheese")
    expect(page.locator("li h3")).to_have_text(["Cheese", "Bread <b>& more</b>"])
    expect(page.locator("#count")).to_have_text("2 items")

    page.get_by_role("button", name="Edit Bread").click()
    expect(page.get_by_role("heading", name="Change item 1")).to_be_visible()
    expect(page.get_by_label("Description")).to_have_value("Two loaves\nfrom the corner")
    page.get_by_label("Name").fill("Rye bread")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("li h3")).to_have_text(["Cheese", "Rye bread"])

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete Cheese").click()
    expect(page.locator("li h3")).to_have_text(["Rye bread"])
    assert server.execute("SELECT id, name FROM items") == [(1, "Rye bread")]
    # Nothing is wider than the window, so nobody needs to scroll sideways.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_refused_item_shows_why_and_keeps_what_was_typed(page: Page, server: PostgresServer) -> None:
    page.get_by_label("Description").fill("A description")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("alert")).to_have_text(
        "The request is invalid. name: string should have at least 1 character."
    )
    expect(page.locator("#name-error")).to_have_text("string should have at least 1 character")
    expect(page.get_by_label("Description")).to_have_value("A description")
    page.get_by_label("Name").fill("A name")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("li h3")).to_have_text(["A name"])
    expect(page.get_by_role("alert")).to_be_hidden()
    assert server.execute("SELECT count(*) FROM items") == [(1,)]


def test_a_database_that_does_not_answer_is_shown_and_the_item_can_be_sent_again(
    page: Page, server: PostgresServer
) -> None:
    add(page, "Before")
    server.stop()
    try:
        page.get_by_label("Name").fill("During")
        page.get_by_role("button", name="Add").click()
        expect(page.get_by_role("alert")).to_have_text("The database is not available. Try again in a moment.")
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / "unavailable.png", full_page=True)
    finally:
        server.start()
    page.get_by_role("button", name="Add").click()
    expect(page.locator("li h3")).to_have_text(["During", "Before"])


def test_a_long_list_has_pages(page: Page, server: PostgresServer) -> None:
    server.execute("INSERT INTO items (name) SELECT 'Item ' || n FROM generate_series(1, 21) n")
    page.reload()
    expect(page.locator("#page")).to_have_text("Page 1 of 3")
    expect(page.locator("li h3").first).to_have_text("Item 21")
    page.get_by_role("button", name="Older").click()
    page.get_by_role("button", name="Older").click()
    expect(page.locator("li h3")).to_have_text(["Item 1"])
    expect(page.get_by_role("button", name="Older")).to_be_disabled()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name=re.compile("^Delete Item 1$")).click()
    expect(page.locator("#page")).to_have_text("Page 2 of 2")


def test_an_item_that_somebody_else_deleted_is_reported(page: Page, server: PostgresServer) -> None:
    add(page, "Short-lived")
    page.get_by_role("button", name="Edit Short-lived").click()
    server.execute("DELETE FROM items")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_have_text("Item 1 does not exist.")
