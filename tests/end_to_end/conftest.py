"""A browser for the end-to-end tests, and studios with the stand-in model for those that need no real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright


from tests.end_to_end.driver import Seat, launch
from tests.end_to_end.server import Server


@pytest.fixture(scope="package")
def browser():
    """One Chromium. Not for the whole session: its event loop would be in the way of tests that run their own."""
    with sync_playwright() as playwright:
        found = launch(playwright)
        if found is None:
            pytest.skip("no Chromium found: install it to run the browser tests")
        yield found
        found.close()


@pytest.fixture
def seats(browser):
    """Makes seats, `seats(server, size=…, theme=…)`, and closes them."""
    made: list[Seat] = []

    def sit(*arguments: object, **options: object) -> Seat:
        made.append(Seat(browser, *arguments, **options))
        return made[-1]

    yield sit
    for seat in made:
        seat.close()


@pytest.fixture
def serve(tmp_path: Path):
    """Starts studios, `serve("--delay", "0.01", fake=True)`, and stops them."""
    started: list[Server] = []

    def start(*flags: str, fake: bool = True) -> Server:
        started.append(Server(tmp_path / f"projects-{len(started)}", *flags, fake=fake))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="package")
def studio(tmp_path_factory: pytest.TempPathFactory):
    """One studio with a quick stand-in model for all tests that leave it running; each takes a project of its own."""
    server = Server(tmp_path_factory.mktemp("studio") / "projects", "--delay", "0.02")
    yield server
    server.stop()
