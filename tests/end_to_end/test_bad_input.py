"""Whatever is typed or dropped: hostile text is shown as text, an unusable file is refused in words, and nothing is lost."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.end_to_end.driver import Seat
from tests.end_to_end.kills import SECONDS_PER_CHUNK
from tests.end_to_end.server import Server

PWN = "window.__pwned=1"
HOSTILE = {
    "html": f"<img src=x onerror={PWN}><script>{PWN}</script>",
    "breakout": f"\"'`></textarea></style><svg onload={PWN}>",
    "template": "${" + PWN + "} {{" + PWN + "}} <%=1%> #{7*7} javascript:" + PWN,
    "long": "run forward, " * 770,
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈😀" * 10,
    "rtl": "\u202eabc עברית \u200b\u2066",
    "control": "a\u0000b\u0007\u001b[31m\u007f\u2028c",
    "empty": "   ",
}


class Guest:
    """Someone who types badly into every field of a seat."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.page = seat.page
        self.page.on("dialog", lambda dialog: (seat.complaints.append(dialog.message), dialog.dismiss()))

    def menu(self, name: str) -> None:
        """Choose a row of the project's menu."""
        self.seat.press("Project")
        self.page.get_by_role("menuitem", name=name).click()

    def leave(self, dialog: Locator) -> None:
        """Close a dialog, whatever it says."""
        self.page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()

    def line_of_chunk(self, text: str) -> None:
        """The line of a chunk that is there."""
        self.seat.choose(1)
        self.seat.line.fill(text)
        self.seat.regenerate()

    def line_ahead(self, text: str) -> None:
        """The line of a chunk that is not made yet."""
        self.seat.timeline.get_by_role("button", name="Next: chunk").click()
        self.seat.line.fill(text)
        self.seat.press("Set this line")

    def project_name(self, text: str) -> None:
        """The project's name."""
        box = self.page.get_by_role("textbox", name="Project name")
        box.fill(text)
        box.press("Enter")

    def take_name(self, text: str) -> None:
        """The first take's name."""
        self.seat.show("Takes")
        self.seat.takes.get_by_role("button", name="Rename").first.click()
        box = self.page.get_by_role("textbox", name="Name of the take")
        box.fill(text)
        box.press("Enter")
        self.seat.show("Inspector")

    def storyboard(self, text: str) -> None:
        """The beats of a storyboard."""
        self.menu("Storyboard")
        dialog = self.seat.dialog("Storyboard")
        dialog.get_by_role("textbox", name="Beats").fill(text)
        add = dialog.get_by_role("button", name="Add", exact=True)
        if add.is_enabled():
            add.click()
        self.leave(dialog)

    def settings(self, text: str) -> None:
        """Every field of the settings."""
        self.menu("Settings")
        dialog = self.seat.dialog("Settings")
        for box in dialog.get_by_role("textbox").all():
            box.fill(text)
        expect(dialog.get_by_role("button", name="Save")).to_be_disabled()
        expect(dialog).to_contain_text("allowed is")
        self.leave(dialog)

    def new_project(self, text: str) -> None:
        """A new project's name and prompt."""
        self.menu("New")
        dialog = self.seat.dialog("New project")
        dialog.get_by_role("textbox", name="Name").fill(text)
        dialog.get_by_role("textbox", name="Prompt").fill(text)
        dialog.get_by_role("button", name="Create project").click()
        expect(dialog.get_by_role("status").filter(has_text=".").or_(self.page.get_by_text("no chunks yet"))).to_be_visible()
        if dialog.is_visible():
            self.leave(dialog)


FIELDS = [name for name in vars(Guest) if not name.startswith("_") and name not in ("menu", "leave")]


@pytest.fixture
def guest(seats, studio: Server):
    """A guest at a project of two chunks."""
    project = studio.new_project()
    studio.post(f"p/{project}/generate", {"seconds": 2 * SECONDS_PER_CHUNK})
    studio.settle(project)
    yield Guest(seats(studio).open(project))
    studio.post(f"p/{project}/stop")


def test_hostile_text_stays_text(guest: Guest):
    """Typed into every field, and again when what was kept comes back from the server."""
    project = guest.seat.project
    for name, text in HOSTILE.items():
        for field in FIELDS:
            getattr(guest, field)(text)
            if guest.seat.project != project:
                guest.seat.open(project)
        assert guest.page.evaluate("window.__pwned") is None, name
        guest.page.reload()
        guest.seat.ready()
        guest.menu("Open")
        expect(guest.seat.dialog("Projects").get_by_role("listitem").first).to_be_visible()
        guest.leave(guest.seat.dialog("Projects"))
        guest.seat.show("Takes")
        assert guest.seat.length() == 2, name
        assert guest.page.evaluate("window.__pwned") is None, name
        assert not guest.seat.overflows(), name
        guest.seat.show("Inspector")
    assert guest.seat.complaints + guest.seat.left == []


def test_a_number_that_cannot_be_is_told(guest: Guest):
    seat = guest.seat
    for text in ("", "0", "-1", "1e9", "1e-9", "601"):
        seat.generate(text)
        expect(seat.messages).to_contain_text("Seconds to generate")
        expect(seat.messages).to_contain_text("are possible")
        seat.messages.get_by_role("button", name="Dismiss").first.click()
    assert seat.length() == 2
    assert seat.complaints + seat.left + seat.refusals == []


def test_hostile_names_from_elsewhere_stay_text(guest: Guest, studio: Server):
    """What the page would not send may still come from another program: it is refused, or shown as text."""
    project, seat = guest.seat.project, guest.seat
    html = HOSTILE["html"]
    studio.post(f"p/{project}/rename", {"name": html})
    take = studio.snapshot(project)["active"]
    studio.post(f"p/{project}/rename_take", {"take": take, "name": "<b onclick=1>${x}</b>"})
    studio.post(f"p/{project}/plan", {"lines": {"2": html[:200], "3": HOSTILE["breakout"]}})
    expect(seat.page.get_by_role("textbox", name="Project name")).to_have_value(html)
    expect(seat.timeline.get_by_text(html[:200], exact=True).first).to_be_visible()
    seat.show("Takes")
    expect(seat.takes.get_by_text("<b onclick=1>${x}</b>", exact=True)).to_be_visible()
    studio.post(f"p/{project}/generate", {"seconds": 2 * SECONDS_PER_CHUNK})
    seat.has_chunks(4)
    guest.menu("Open")
    expect(seat.dialog("Projects").get_by_text(html, exact=True).first).to_be_visible()
    guest.leave(seat.dialog("Projects"))
    assert seat.page.evaluate("window.__pwned") is None
    assert seat.complaints + seat.left + seat.refusals == []


def picture(width: int = 320, height: int = 200, kind: str = "PNG") -> bytes:
    """A picture that is fine."""
    data = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(data, kind)
    return data.getvalue()


def project_file(studio: Server, folder: Path, *changes: str) -> bytes:
    """A project file of the studio, altered."""
    path = folder / "altered.tv2tv"
    path.write_bytes(studio.get(f"/studio/p/{studio.new_project()}/project.tv2tv"))
    with closing(sqlite3.connect(path)) as db:
        for change in changes:
            db.execute(change)
        db.commit()
    return path.read_bytes()


def unusable(studio: Server, folder: Path) -> dict[str, tuple[bytes, str]]:
    """Files that cannot be used, by name, and what the words about each must hold."""
    png, project = picture(), project_file(studio, folder)
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    return {
        "empty.png": (b"", "empty"),
        "notes.txt": (b"hello " * 100, "choose another"),
        "text.png": (b"hello " * 100, "text.png"),
        "half.png": (png[: len(png) // 2], ""),
        "half.mp4": (b"\x00\x00\x00\x18ftypmp42" + bytes(2000), ""),
        "bomb.png": (bomb.getvalue(), "megapixels"),
        "future.tv2tv": (project_file(studio, folder, "PRAGMA user_version = 7"), "newer version"),
        "half.tv2tv": (project[: len(project) // 2], "damaged"),
        "other.tv2tv": (project_file(studio, folder, "PRAGMA application_id = 0"), ""),
        "torn.tv2tv": (project_file(studio, folder, "DELETE FROM frame"), "damaged"),
        f"<img src=x onerror={PWN}>.png": (b"\x89PNG nothing", "readable"),
    }


def test_unusable_files_are_refused_in_words(guest: Guest, studio: Server, tmp_path: Path):
    seat = guest.seat
    before = seat.project
    pictures = seat.pictures(2)
    for name, (data, words) in unusable(studio, tmp_path).items():
        seat.drop(name, data)
        message = seat.messages.locator("*").filter(has_text=words).first
        expect(message).to_be_visible()
        said = seat.messages.inner_text().strip()
        assert 20 < len(said) < 400 and "\n\n" not in said and "Traceback" not in said and "/" not in said, (name, said)
        assert "500" not in said, (name, said)
        seat.messages.get_by_role("button", name="Dismiss").first.click()
        expect(seat.messages).to_have_text("")
    assert seat.project == before
    assert seat.pictures(2) == pictures
    assert seat.page.evaluate("window.__pwned") is None
    assert seat.complaints + seat.left == []


@pytest.mark.parametrize("name, kind", [("my view.png", "PNG"), ("<b>.webp", "WEBP")])
def test_a_picture_that_is_dropped_becomes_a_project(guest: Guest, studio: Server, name: str, kind: str):
    seat = guest.seat
    before = seat.project
    seat.drop(name, picture(kind=kind))
    expect(seat.messages).to_contain_text("picture")
    seat.page.wait_for_url(lambda url: before not in url)
    seat.generate(0.25)
    seat.has_chunks(1)
    assert seat.complaints + seat.left + seat.refusals == []
