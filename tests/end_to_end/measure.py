"""Measures the studio against its targets: `python -m tests.end_to_end.measure [--model fake] [--kills 50] [--json FILE]`.

Not a test: figures depend on the machine and on what else it does. Times that belong to the page are taken in the page.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.end_to_end.driver import DESKTOP, Seat, launch
from tests.end_to_end.kills import SECONDS_PER_CHUNK, Toll, broken
from tests.end_to_end.long_project import make_long_project
from tests.end_to_end.server import ROOT, Server

LONG = 2600
READY = """() => { const look = () => {
  const host = document.querySelector("#tv2tv-root");
  const images = [...document.querySelectorAll("li img")];
  const shown = host?.__tv2tv?.store.state.project && images.length && images[0].complete && images[0].naturalWidth;
  if (shown) window.__ready = performance.now(); else requestAnimationFrame(look);
}; look(); }"""
PERF = "() => { const { perf } = document.querySelector('#tv2tv-root').__tv2tv; return [perf.chunkShown, perf.fromServer]; }"
REWRITE = """(name) => new Promise((done) => {
  const { store, perf } = document.querySelector("#tv2tv-root").__tv2tv;
  const seen = perf.chunkShown.length;
  const button = [...document.querySelectorAll("button")].find((one) => one.textContent.trim() === name);
  const began = performance.now();
  button.click();
  const look = () => perf.chunkShown.length > seen ? done(performance.now() - began) : setTimeout(look, 2);
  look();
})"""


class Figures:
    """Rows of a table: what, value, unit, target."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, str, str]] = []

    def add(self, what: str, value: float, unit: str = "ms", target: str = "") -> None:
        """Note a figure and show it at once."""
        self.rows.append((what, round(value, 3), unit, target))
        print(f"{what:<66} {value:>10.2f} {unit:<6} {target}", flush=True)

    def spread(self, what: str, values: Sequence[float], target: str = "") -> None:
        """Median and 95th percentile of some milliseconds."""
        self.add(f"{what}, median of {len(values)}", float(np.percentile(values, 50)))
        self.add(f"{what}, p95", float(np.percentile(values, 95)), target=target)


@contextmanager
def at_seat(browser: Browser, server: Server, project: str | None = None) -> Iterator[Seat]:
    """A seat that is left at the end."""
    with closing(Seat(browser, server)) as seat:
        yield seat.open(project)


def ready(figures: Figures, browser: Browser, server: Server, what: str, project: str, target: str) -> None:
    """From asking for the page to a project that is shown with a decoded frame; first visit, then five with a warm cache."""
    with closing(Seat(browser, server)) as seat:
        seat.page.add_init_script(f"({READY})()")
        times = []
        for _ in range(6):
            seat.page.goto("about:blank")
            seat.page.goto(f"{server.url}/#p={project}")
            times.append(seat.page.wait_for_function("() => window.__ready").json_value())
    figures.add(f"{what}, first visit of this browser", times[0])
    figures.add(f"{what}, warm, median of 5", float(np.median(times[1:])), target=target)


def chunks_on_screen(figures: Figures, browser: Browser, server: Server, project: str, seconds: float) -> None:
    """From the server's message to frames that are decoded in the page; the message follows the commit."""
    with at_seat(browser, server, project) as seat:
        seat.generate(seconds)
        seat.job("running")
        seat.job("idle")
        shown, whole = seat.page.evaluate(PERF)
    figures.spread("message received → chunk decoded in the page", shown)
    figures.spread("message sent → chunk decoded in the page", whole, target="<= 100, less the commit")


def commits(figures: Figures, folder: Path) -> None:
    """What lies between the engine's having a chunk and the message: pictures encoded, one transaction on the disk."""
    from tests.end_to_end import long_project

    times: list[float] = []
    real = long_project.Project.commit_chunk

    def timed(*arguments: object) -> object:
        began = time.perf_counter()
        try:
            return real(*arguments)
        finally:
            times.append(1000 * (time.perf_counter() - began))

    long_project.Project.commit_chunk = timed
    try:
        make_long_project(folder, 100, start_picture(), durable=True)
    finally:
        long_project.Project.commit_chunk = real
    figures.spread("engine has a chunk → it is in the file (no server around)", times)


def rewriting(figures: Figures, browser: Browser, server: Server, project: str, rounds: int = 5) -> None:
    """From the click on Regenerate to the first new chunk's frames on screen, against the engine's own time for a chunk."""
    with at_seat(browser, server, project) as seat:
        shares, times = [], []
        for number in range(rounds):
            seat.choose(2)
            seat.line.fill(f"stand, turn left {5 + 5 * number}")
            times.append(seat.page.evaluate(REWRITE, "Regenerate from here"))
            seat.job("idle")
            own = [1000 * chunk["seconds"] for chunk in server.snapshot(project)["path"][1:]]
            shares.append(times[-1] / float(np.median(own)))
    figures.add(f"rewritten line → first new frame on screen, median of {rounds}", float(np.median(times)))
    figures.add("the same, in times of the engine's own for a chunk, median", float(np.median(shares)), "x", "<= 1.5")
    figures.add("the same, worst", max(shares), "x")


def long_project(figures: Figures, browser: Browser, folder: Path) -> None:
    """A ten-minute project: opening, scrolling, scrubbing, zooming."""
    project = make_long_project(folder / "long", LONG, start_picture())
    with closing_server(Server(folder / "long")) as server:
        ready(figures, browser, server, f"{LONG} chunks open", project, "<= 2000")
        with at_seat(browser, server, project) as seat:
            seat.has_chunks(LONG)
            for what, act in {"scrolling": scroll, "scrubbing": scrub, "zooming": zoom, "playing": play}.items():
                wall, busy = tasks(browser, seat, act)
                figures.add(f"{LONG} chunks, {what}: longest task", max(wall), target="<= 100")
                figures.add(f"{LONG} chunks, {what}: the longest by processor time", max(busy), target="<= 100")
                figures.add(f"{LONG} chunks, {what}: tasks over 100 ms", sum(one > 100 for one in wall), "", "0")
            figures.add(f"{LONG} chunks: list items in the page", seat.timeline.get_by_role("listitem").count(), "")


def tasks(browser: Browser, seat: Seat, act: Callable[[Seat], None]) -> tuple[list[float], list[float]]:
    """Milliseconds of every task of the page's main thread while `act` goes on: by the clock, and by processor time.

    The two differ where other programs take the processor away.
    """
    browser.start_tracing(page=seat.page, categories=["toplevel"])
    act(seat)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    mains = {(one["pid"], one["tid"]) for one in events
             if one["name"] == "thread_name" and one["args"]["name"] == "CrRendererMain"}  # fmt: skip
    runs = [one for one in events if one["name"].endswith("RunTask") and (one["pid"], one["tid"]) in mains and "tdur" in one]
    return [one["dur"] / 1000 for one in runs], [one["tdur"] / 1000 for one in runs]


def scroll(seat: Seat) -> None:
    """Turn the wheel over the timeline: slow, then fast."""
    box = seat.timeline.bounding_box()
    seat.page.mouse.move(box["x"] + 400, box["y"] + 100)
    for delta in [300] * 30 + [20_000] * 20 + [-3000] * 20:
        seat.page.mouse.wheel(delta, 0)
        seat.page.wait_for_timeout(16)


def scrub(seat: Seat) -> None:
    """Drag the position over the whole clip and back."""
    box = seat.page.get_by_role("slider", name="Position").bounding_box()
    middle = box["y"] + box["height"] / 2
    seat.page.mouse.move(box["x"] + 5, middle)
    seat.page.mouse.down()
    for step in [*range(0, 100), *range(100, 0, -3)]:
        seat.page.mouse.move(box["x"] + 5 + (box["width"] - 10) * step / 100, middle)
        seat.page.wait_for_timeout(16)
    seat.page.mouse.up()


def zoom(seat: Seat) -> None:
    """From the whole clip to single frames and back."""
    seat.press("Fit the whole clip")
    for key in "+" * 25 + "-" * 25 + "0":
        seat.page.keyboard.press(key)
        seat.page.wait_for_timeout(16)


def play(seat: Seat) -> None:
    """Two seconds of playing from the start."""
    seat.page.keyboard.press("Home")
    seat.page.keyboard.press("k")
    seat.page.wait_for_timeout(2000)
    seat.page.keyboard.press("k")


def ten_tabs(figures: Figures, browser: Browser, server: Server, project: str, chunks: int) -> None:
    """Ten tabs at one project while it grows."""
    with at_seat(browser, server, project) as first:
        tabs = [first, *(first.another_tab().open(project) for _ in range(9))]
        before = first.length()
        first.generate(chunks * SECONDS_PER_CHUNK)
        for tab in tabs:
            tab.has_chunks(before + chunks)
        first.job("idle")
        times = [one for tab in tabs for one in tab.page.evaluate(PERF)[1]]
        figures.add("ten tabs: those that have every chunk", sum(tab.length() == before + chunks for tab in tabs), "", "10")
        figures.spread("ten tabs: message sent → chunk decoded", times)


def killing(figures: Figures, folder: Path, fake: bool, kills: int) -> None:
    """Kill after kill, ten to a run."""
    dice, toll = random.Random(20), Toll()
    flags = ("--delay", "0.02") if fake else ()
    with closing_server(Server(folder / "kills", *flags, fake=fake)) as server:
        while toll.kills < kills:
            settings = {"seed": str(dice.randrange(10**6)), "steps": 3 if fake else 1}
            toll += broken(server, 40 if fake else 20, settings, min(10, kills - toll.kills), dice)
            print(f"  {toll}", file=sys.stderr, flush=True)
    figures.add("kills at work", toll.kills, "", f">= {kills}")
    figures.add("told chunks compared with an unbroken run", toll.compared, "")
    figures.add("told chunks missing afterwards", toll.missing, "", "0")
    figures.add("told chunks with other bytes", toll.changed, "", "0")


@contextmanager
def closing_server(server: Server) -> Iterator[Server]:
    """A server that is stopped at the end."""
    try:
        yield server
    finally:
        server.stop()


def start_picture() -> np.ndarray:
    """A real picture of the usual size."""
    path = next((ROOT / "assets" / "starts").glob("*.png"))
    return np.asarray(Image.open(path).convert("RGB").resize((160, 96)))


def main() -> int:
    """Measure everything and print the table, then JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=("embedded", "fake"), default="embedded")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--only", nargs="*", choices=("page", "long", "kills"), default=("page", "long", "kills"))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    fake, figures = chosen.model == "fake", Figures()
    figures.add("load average at the beginning", os.getloadavg()[0], "")
    with tempfile.TemporaryDirectory(prefix="tv2tv-measure-") as scratch, sync_playwright() as playwright:
        folder = Path(scratch)
        browser = launch(playwright)
        if browser is None:
            print("No Chromium found: install it to measure.", file=sys.stderr)
            return 2
        parts: dict[str, Callable[[], None]] = {
            "page": lambda: page(figures, browser, folder, fake),
            "long": lambda: long_project(figures, browser, folder),
            "kills": lambda: killing(figures, folder, fake, chosen.kills),
        }
        for name in chosen.only:
            parts[name]()
        browser.close()
    figures.add("load average at the end", os.getloadavg()[0], "")
    rows = [dict(zip(("what", "value", "unit", "target"), row, strict=True)) for row in figures.rows]
    result = {"model": chosen.model, "size": DESKTOP, "figures": rows}
    text = json.dumps(result, ensure_ascii=False, indent=1)
    print(text)
    if chosen.json is not None:
        chosen.json.write_text(text + "\n", encoding="utf-8")
    return 0


def page(figures: Figures, browser: Browser, folder: Path, fake: bool) -> None:
    """Everything about a project of ordinary length."""
    flags = ("--delay", "0.05") if fake else ()
    with closing_server(Server(folder / "page", *flags, fake=fake)) as server:
        project = server.new_project(seed="7")
        chunks_on_screen(figures, browser, server, project, 20 * SECONDS_PER_CHUNK)
        chunks_on_screen(figures, browser, server, project, 20 * SECONDS_PER_CHUNK)
        commits(figures, folder / "commits")
        ready(figures, browser, server, "page ready", project, "<= 1500")
        short = server.new_project(seed="8")
        server.post(f"p/{short}/generate", {"seconds": 4 * SECONDS_PER_CHUNK})
        server.settle(short)
        rewriting(figures, browser, server, short)
        ten_tabs(figures, browser, server, short, 12)


if __name__ == "__main__":
    sys.exit(main())
