"""For every hand and eye: all of it by keyboard, no serious axe violation in any state, no page wider than the phone."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.end_to_end.driver import DESKTOP, PHONE, Seat
from tests.end_to_end.kills import SECONDS_PER_CHUNK
from tests.end_to_end.server import Server

AXE = Axe()
LONG_S = 120  # the longest there is: still going on when it is stopped, however long the checks before take
GRAVE = ("serious", "critical")
LOOKS = [(DESKTOP, "dark"), (PHONE, "light"), (DESKTOP, "light"), (PHONE, "dark")]
EVERYTHING = {"resultTypes": ["violations"]}
COLOURS = {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}
FOCUSED = """() => {
  const node = document.activeElement;
  return node.getAttribute("aria-label") || node.labels?.[0]?.textContent || node.textContent;
}"""
DIALOGS = {"New…": "New project", "Open…": "Projects", "Storyboard…": "Storyboard", "Settings…": "Settings"}


def grave(seat: Seat, options: dict[str, object] = EVERYTHING) -> list[dict]:
    """The serious and critical axe violations on the page as it is now."""
    return [one for one in AXE.run(seat.page, options=options).response["violations"] if one["impact"] in GRAVE]


def check(seat: Seat, state: str) -> list[str]:
    """What is wrong with the page as it is now: in four looks, all rules in two of them, the colours in the others."""
    found = []
    for number, (size, theme) in enumerate(LOOKS):
        seat.page.set_viewport_size(size)
        seat.page.emulate_media(color_scheme=theme)
        expect(seat.studio).to_have_attribute("data-theme", theme)
        seat.settled()
        where = f"{state}, {size['width']} px, {theme}"
        for violation in grave(seat, COLOURS if number > 1 else EVERYTHING):
            found += [f"{where}: {violation['id']}: {node['html'][:160]}" for node in violation["nodes"]]
        if seat.overflows():
            found.append(f"{where}: {seat.overflows()}")
    seat.page.set_viewport_size(DESKTOP)
    return found


@pytest.fixture
def seat(seats, studio: Server):
    """A seat at a new project."""
    project = studio.new_project(steps=6, seconds=LONG_S)
    yield seats(studio).open(project)
    studio.post(f"p/{project}/stop")


def test_every_state_can_be_read_by_all(seat: Seat):
    found = check(seat, "empty")
    seat.generate(LONG_S)
    expect(seat.chunk(2)).to_be_visible()
    found += check(seat, "running")
    seat.press("Pause")
    seat.job("paused")
    seat.choose(seat.length())
    found += check(seat, "paused")
    seat.line.fill("x" * 201)
    seat.press("Regenerate from here")
    found += check(seat, "a line too long")
    seat.line.fill("stand")
    seat.press("Regenerate from here")
    seat.job("running")
    seat.press("Stop")
    seat.show("Takes")
    seat.press("Compare Take 1")
    found += check(seat, "comparing")
    seat.press("Close comparison")
    seat.press("Drive")
    seat.job("running")
    found += check(seat, "driving")
    seat.press("Leave drive mode")
    seat.job("idle")
    assert found == []
    assert seat.complaints + seat.left == []


def test_every_dialog_can_be_read_by_all(seat: Seat):
    seat.generate(2 * SECONDS_PER_CHUNK)
    seat.has_chunks(2)
    found = []
    for row, name in DIALOGS.items():
        seat.press("Project")
        seat.page.get_by_role("menuitem", name=row).click()
        expect(seat.dialog(name)).to_be_visible()
        found += check(seat, name)
        seat.page.keyboard.press("Escape")
    seat.page.keyboard.press("?")
    expect(seat.dialog("How it works")).to_be_visible()
    found += check(seat, "help")
    seat.page.keyboard.press("Escape")
    seat.press("Export")
    expect(seat.dialog("Export")).to_be_visible()
    found += check(seat, "export")
    assert found == []


def focused(seat: Seat) -> str:
    """The name of what has the focus."""
    return seat.page.evaluate(FOCUSED).strip()


def test_all_of_it_by_keyboard(seat: Seat):
    press = seat.page.keyboard.press
    press("g")
    expect(seat.chunk(3)).to_be_visible()
    press("p")
    seat.job("paused")
    made = seat.length()
    press("Home")
    press("ArrowRight")
    expect(seat.chunk(1)).to_have_attribute("aria-current", "true")
    press("ArrowRight")
    expect(seat.chunk(2)).to_have_attribute("aria-current", "true")
    press("e")
    expect(seat.line).to_be_focused()
    press("ControlOrMeta+a")
    seat.page.keyboard.type("stand, use g p ? t")  # letters are letters in here, not shortcuts
    press("Control+Enter")
    seat.job("running")
    expect(seat.chunk(3)).to_be_visible()
    press("Shift+Tab")
    press("p")
    seat.job("paused")
    assert "stand, use g p ? t" in seat.chunk(2).get_attribute("title")
    press("Control+z")
    seat.has_chunks(made)
    press("Control+Shift+z")
    press("Control+z")
    seat.has_chunks(made)
    press("?")
    expect(seat.dialog("How it works")).to_be_visible()
    press("Escape")
    expect(seat.dialog("How it works")).to_be_hidden()
    press("Home")
    seat.page.evaluate("document.querySelector('#tv2tv-root').__tv2tv.store.set({ loop: true })")  # a short clip ends soon
    seat.page.evaluate("document.activeElement.blur()")  # the space bar is for a control that has the focus first
    press(" ")
    expect(seat.button("Play")).to_have_attribute("aria-pressed", "true")
    press(" ")
    expect(seat.button("Play")).to_have_attribute("aria-pressed", "false")
    assert seat.complaints + seat.left == []


REACHED = ("Project", "Project name", "Undo", "Export", "Play", "Seconds to generate", "Generate", "Zoom", "Plan line",
           "Regenerate from here")  # fmt: skip


def test_tab_goes_through_everything_in_order_and_shows_where_it_is(seat: Seat):
    seat.generate(3 * SECONDS_PER_CHUNK)
    seat.has_chunks(3)
    seat.job("idle")
    seat.page.reload()
    seat.ready()
    seat.page.keyboard.press("ArrowRight")
    order, hidden = [], []
    for _ in range(90):
        seat.page.keyboard.press("Tab")
        if not seat.page.evaluate("document.activeElement.closest('[data-testid=studio]') !== null"):
            break
        order.append(focused(seat))
        if not seat.focus_is_seen():
            hidden.append(order[-1])
    assert [name for name in REACHED if name not in order] == []
    assert hidden == []
    places = [order.index(name) for name in ("Project", "Export", "Play", "Generate")]
    assert places == sorted(places)
    assert order.index("Plan line") < order.index("Regenerate from here")
    assert sum(name.startswith("Chunk ") and name[6:].isdecimal() for name in order) == 1, "chunks are one stop; arrows go on"


def test_a_password_is_asked_for_and_lets_in(seats, serve):
    server: Server = serve("--listen", "--password", "a long enough one")
    seat: Seat = seats(server)
    seat.page.goto(server.url)
    box = seat.page.get_by_label("Password")
    assert grave(seat) == []
    box.fill("wrong")
    box.press("Enter")
    expect(seat.page.get_by_role("alert")).to_contain_text("password")
    expect(seat.studio).to_have_count(0)
    box.fill("a long enough one")
    box.press("Enter")
    seat.ready()
    seat.generate(2 * SECONDS_PER_CHUNK)
    seat.has_chunks(2)
    assert seat.complaints + seat.left == []
