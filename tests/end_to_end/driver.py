"""A person at the studio's page: finds things by role and accessible name only, and notes what the browser complains of."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Download, Locator, Page, Playwright, expect

from tests.end_to_end.server import PATIENCE_S, Server

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync"
).split()
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
DROP = """([name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""
SETTLED = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const fades = (one) => one.animationName && Number.isFinite(one.effect.getComputedTiming().endTime); // a dialog that opens
  const colours = (one) =>
    one.playState === "running" && (fades(one) || /colou?r|background|opacity/.test(one.transitionProperty ?? ""));
  for (let calm = 0; calm < 3; calm++) {
    await frame();
    const changing = document.getAnimations().filter(colours);
    if (changing.length) calm = 0; // one may begin where another ends
    await Promise.all(changing.map((one) => one.finished.catch(() => null)));
  }
}"""
OVERFLOWS = """() => {
  const wide = [document.documentElement, document.body, document.querySelector("[data-testid=studio]")];
  const found = wide.filter((node) => node.scrollWidth > innerWidth);
  return found.map((node) => `${node.tagName} is ${node.scrollWidth} px wide in a window of ${innerWidth}`).join();
}"""
FOCUS_SEEN = """() => {
  const node = document.activeElement;
  const box = node.getBoundingClientRect();
  const seen = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  const marked = (one) => [null, "::before", "::after"].some((part) => {
    const style = getComputedStyle(one, part);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  });
  return seen && (marked(node) || (node.parentElement && marked(node.parentElement)));
}"""
STATE = "document.querySelector('#tv2tv-root').__tv2tv.store.state"
OPEN = f"() => {STATE}.project?.id && location.hash === `#p=${{{STATE}.project.id}}`"
REWRITTEN = f"""([takes, chunks]) => {{
  const {{ takes: now, path, job }} = {STATE};
  const refused = document.querySelector("#tv2tv-plan-problem").textContent;
  return refused || (now.length > takes && path.length === chunks && job.state === "idle");
}}"""

expect.set_options(timeout=PATIENCE_S * 1000)


def launch(playwright: Playwright) -> Browser | None:
    """A browser without a window; None where no Chromium is installed."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    return None if path is None else playwright.chromium.launch(executable_path=path, args=FLAGS)


class Seat:
    """One tab of one browser in front of a studio. `size` in CSS pixels, `theme` "dark" or "light"."""

    def __init__(self, browser: Browser, server: Server, size: dict[str, int] | None = None, theme: str = "dark") -> None:
        self._server = server
        self._context = browser.new_context(viewport=size or DESKTOP, color_scheme=theme, accept_downloads=True)
        self._context.set_default_timeout(PATIENCE_S * 1000)
        self.complaints: list[str] = []
        self.refusals: list[str] = []
        self.left: list[str] = []
        self.page = self._sit(self._context.new_page())

    def _sit(self, page: Page) -> Page:
        def said(message: object) -> None:
            if message.type in ("error", "warning"):
                network = "Failed to load resource" in message.text or "WebSocket connection" in message.text
                (self.refusals if network else self.complaints).append(message.text)

        def asked(request: object) -> None:
            if not re.match(rf"(https?|wss?)://127\.0\.0\.1:{self._server.port}/|data:|blob:", request.url):
                self.left.append(request.url)

        page.on("console", said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", asked)
        page.on("websocket", lambda socket: asked(socket))
        return page

    def another_tab(self) -> Seat:
        """A second tab of the same browser, with the same memory."""
        other = object.__new__(Seat)
        other.__dict__.update(self.__dict__)
        other.page = other._sit(self._context.new_page())
        return other

    def close(self) -> None:
        """Close the browser's window."""
        self._context.close()

    # Where things are -----------------------------------------------------------------------------------------------

    def open(self, project: str | None = None) -> Seat:
        """Open the page, at a project if one is given, and wait until that is there."""
        self.page.goto(self._server.url + ("/" if project is None else f"/#p={project}"))
        self.ready()
        return self

    def ready(self) -> None:
        """Wait until the project of the address is shown."""
        expect(self.page.get_by_role("button", name="Project", exact=True)).to_be_visible()
        self.page.wait_for_function(OPEN)
        expect(self.page.get_by_role("textbox", name="Project name")).not_to_have_value("")

    @property
    def project(self) -> str:
        """The id of the open project, as the address has it."""
        return re.search(r"#p=(\w+)", self.page.url)[1]

    @property
    def studio(self) -> Locator:
        """The root element."""
        return self.page.get_by_test_id("studio")

    @property
    def timeline(self) -> Locator:
        """The region "Timeline"."""
        return self.page.get_by_role("region", name="Timeline", exact=True)

    @property
    def takes(self) -> Locator:
        """The region "Takes"."""
        return self.page.get_by_role("region", name="Takes", exact=True)

    @property
    def line(self) -> Locator:
        """The textbox "Plan line"."""
        return self.page.get_by_role("textbox", name="Plan line", exact=True)

    @property
    def messages(self) -> Locator:
        """Where messages for people appear."""
        return self.page.get_by_role("status", name="Messages")

    def button(self, name: str) -> Locator:
        """The button of exactly that name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def dialog(self, name: str) -> Locator:
        """The open dialog of that name."""
        return self.page.get_by_role("dialog", name=name)

    def chunk(self, number: int) -> Locator:
        """The list item "Chunk N"."""
        return self.timeline.get_by_role("listitem", name=f"Chunk {number}", exact=True)

    # What is done ---------------------------------------------------------------------------------------------------

    def press(self, name: str) -> None:
        """Click the button of exactly that name."""
        self.button(name).click()

    def generate(self, seconds: float | str) -> None:
        """Ask for so many seconds more."""
        self.page.get_by_role("spinbutton", name="Seconds to generate").fill(str(seconds))
        self.press("Generate")

    def job(self, *states: str) -> str:
        """Wait until the job is in one of `states`; returns which."""
        expect(self.studio).to_have_attribute("data-job", re.compile(f"^({'|'.join(states)})$"))
        return self.studio.get_attribute("data-job")

    def regenerate(self) -> None:
        """Regenerate from the chosen chunk, and wait until the new take is as long as the old one or the line is refused."""
        before = [self.takes_made(), self.length()]
        self.press("Regenerate from here")
        self.page.wait_for_function(REWRITTEN, arg=before)

    def takes_made(self) -> int:
        """How many takes there are."""
        return self.page.evaluate(f"{STATE}.takes.length")

    def has_takes(self, count: int) -> None:
        """Wait until there are exactly so many takes."""
        self.page.wait_for_function(f"(count) => {STATE}.takes.length === count", arg=count)

    def choose(self, number: int) -> None:
        """Click chunk `number`."""
        self.chunk(number).click()
        expect(self.chunk(number)).to_have_attribute("aria-current", "true")

    def show(self, panel: str) -> None:
        """Open a tab of the right panel."""
        self.page.get_by_role("tab", name=panel).click()

    def pictures(self, chunks: int) -> list[list[str]]:
        """The addresses of the frames of the first `chunks` chunks, four for each."""
        found = []
        for number in range(1, chunks + 1):
            images = self.chunk(number).get_by_role("img", include_hidden=True)
            expect(images).to_have_count(4)
            found.append([image.get_attribute("src") for image in images.all()])
        return found

    def length(self) -> int:
        """How many chunks the shown take has."""
        first = self.timeline.get_by_role("listitem").first
        return int(first.get_attribute("aria-setsize")) if first.count() else 0

    def has_chunks(self, count: int) -> None:
        """Wait until the shown take has exactly `count` chunks."""
        expect(self.timeline.get_by_role("listitem").last).to_have_attribute("aria-setsize", str(count))

    def settled(self) -> None:
        """Wait until no colour is on its way to another."""
        self.page.evaluate(SETTLED)

    def overflows(self) -> str:
        """What makes the page wider than the window; "" when nothing does."""
        return self.page.evaluate(OVERFLOWS)

    def focus_is_seen(self) -> bool:
        """Whether what has the focus is in sight and marked as having it."""
        return self.page.evaluate(FOCUS_SEEN)

    def drop(self, name: str, data: bytes, kind: str = "") -> None:
        """Drop a file onto the page."""
        self.page.evaluate(DROP, [name, kind, base64.b64encode(data).decode()])

    def download(self, link: Locator, folder: Path) -> Path:
        """Click a link that downloads; returns the file."""
        with self.page.expect_download() as waiting:
            link.click()
        download: Download = waiting.value
        path = folder / download.suggested_filename
        download.save_as(path)
        return path
