"""The whole story on a preset of pretrained models: the real pipeline and planner classes with tiny random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import pytest
from playwright.sync_api import Locator, expect

from tests.end_to_end.driver import Seat
from tests.end_to_end.server import ROOT, Server
from tests.engine.pretrained import tiny

PIPELINE = "LTXConditionPipeline"  # the quickest of the five
NAME = f"tiny-{PIPELINE.lower()}"
FRAMES, FPS, SIZE = 32, 16, tiny.SIZE[PIPELINE]
SECONDS, CHUNKS = 20, 10
DELAY, STEPS, SLOW = "0.01", 20, 60  # steps a chunk, and so many that a click comes in time on any machine
PROMPT, LINE = "a fox in the snow", "the fox sits"
WIDE = {"width": 2560, "height": 1080}  # so that every chunk of the clip is in the page


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A presets folder: the model that ships, a tiny pipeline as its weights' folder is after a download, and a giant."""
    root = tmp_path_factory.mktemp("fresh")
    folder = root / "presets"
    folder.mkdir()
    renderer = tiny.save_pipeline(PIPELINE, root / "renderer")
    planner = tiny.save_language_model(root / "planner")
    tiny.write_preset(folder, PIPELINE, renderer, planner, new=FRAMES, steps=STEPS)
    shutil.copytree(ROOT / "assets", root / "assets", ignore=shutil.ignore_patterns("studio"))
    shutil.copy(ROOT / "presets" / "embedded.yaml", folder)
    huge = (ROOT / "presets" / "wan-vace-1.3b.yaml").read_text().replace("vram_gb: 12", "vram_gb: 99999")
    (folder / "giant.yaml").write_text(huge.replace("title: Wan 2.1 VACE 1.3B", "title: Giant"))
    return folder


@pytest.fixture(scope="module")
def server(presets: Path, tmp_path_factory: pytest.TempPathFactory):
    """A studio over these presets whose models take their time."""
    one = Server(tmp_path_factory.mktemp("pretrained") / "projects", "--presets", str(presets), "--delay", DELAY)
    yield one
    one.stop()


def new_project(seat: Seat) -> Locator:
    """The start dialog."""
    seat.press("Project")
    seat.page.get_by_role("menuitem", name="New…").click()
    return seat.dialog("New project")


def start(seat: Seat) -> None:
    """Look at the models, then start from text alone with the tiny one."""
    before = seat.project
    dialog = new_project(seat)
    model = dialog.get_by_role("combobox", name="Model")
    alone = dialog.get_by_role("radio", name="Text alone")
    expect(alone).to_be_disabled()
    expect(dialog).to_contain_text("it goes on from a picture")
    model.select_option("giant")
    expect(dialog).to_contain_text("This machine cannot run it. Needs")
    expect(dialog.get_by_role("button", name="Create anyway")).to_be_visible()
    model.select_option(NAME)
    expect(dialog).to_contain_text(f"{SIZE[0]} × {SIZE[1]}, {FPS} fps, {FRAMES} frames (2.0 s) a chunk")
    alone.check(force=True)
    dialog.get_by_role("button", name="Create project").click()
    expect(dialog.get_by_role("status")).to_contain_text("The prompt is empty")
    dialog.get_by_role("textbox", name="Prompt").fill(PROMPT)
    dialog.get_by_role("button", name="Create project").click()
    seat.page.wait_for_url(lambda url: before not in url)
    seat.ready()
    expect(seat.page.get_by_role("textbox", name="Project name")).to_have_value(PROMPT)


def bytes_of(server: Server, project: str, chunk: str) -> list[bytes]:
    """Every frame of a chunk as PNG."""
    return [server.get(f"/studio/p/{project}/c/{chunk}/{k}.png") for k in range(FRAMES)]


def export(seat: Seat, folder: Path, chunks: int) -> None:
    """The clip as MP4: every frame is in it, at the preset's rate."""
    seat.press("Export")
    dialog = seat.dialog("Export")
    dialog.get_by_role("radio", name="MP4 video").check()
    dialog.get_by_role("button", name="Export", exact=True).click()
    path = seat.download(dialog.get_by_role("link", name="Download"), folder)
    dialog.get_by_role("button", name="Close").first.click()
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        assert stream.average_rate == FPS
        assert stream.width % SIZE[0] == 0 and stream.width * SIZE[1] == stream.height * SIZE[0]
        assert sum(1 for _ in video.decode(stream)) == chunks * FRAMES


def test_the_whole_story_with_a_tiny_pipeline(seats, server: Server, tmp_path: Path):
    seat: Seat = seats(server, size=WIDE)
    seat.open()
    start(seat)
    project = seat.project
    server.post(f"p/{project}/settings", {"seed": 7, "steps": SLOW})
    seat.generate(SECONDS)
    expect(seat.chunk(1)).to_be_visible()
    seat.press("Pause")
    seat.job("paused")
    server.post(f"p/{project}/settings", {"steps": STEPS})
    made = seat.length()
    assert 1 <= made < CHUNKS
    path = server.snapshot(project)["path"]
    assert any(chunk["source"] == "model" and chunk["plan"] for chunk in path), "the planner wrote no line"
    shown = seat.pictures(made)
    assert [url.rsplit("/", 1)[1] for url in shown[0]] == ["0.png", "8.png", "16.png", "24.png"]
    old = [bytes_of(server, project, chunk["id"]) for chunk in path]
    assert len(set(old[0])) == FRAMES, "frames are alike"

    seat.press("Continue")
    seat.job("idle")
    seat.has_chunks(CHUNKS)
    seat.choose(2)
    seat.line.fill(LINE)
    seat.press("Regenerate from here")
    seat.job("running")
    seat.page.reload()
    seat.ready()
    seat.job("idle")
    seat.has_chunks(CHUNKS)

    new = server.snapshot(project)["path"]
    assert [chunk["id"] for chunk in new[:1]] == [chunk["id"] for chunk in path[:1]]
    assert bytes_of(server, project, new[0]["id"]) == old[0]
    assert (new[1]["plan"], new[1]["source"]) == (LINE, "person")
    assert not set(bytes_of(server, project, new[1]["id"])) & {frame for chunk in old for frame in chunk}
    seat.show("Takes")
    expect(seat.takes.get_by_role("listitem")).to_have_count(2)
    export(seat, tmp_path, CHUNKS)
    assert seat.complaints + seat.refusals + seat.left == []


def test_a_story_of_a_tiny_pipeline_goes_on_from_an_own_picture(seats, server: Server):
    """The dialog's prompt and model count for an own file, too."""
    seat: Seat = seats(server).open()
    picture = ROOT / "assets" / "starts" / "control-room.png"
    before = seat.project
    dialog = new_project(seat)
    dialog.get_by_role("combobox", name="Model").select_option(NAME)
    dialog.locator("input[type=file]").set_input_files(picture)
    dialog.get_by_role("textbox", name="Prompt").fill(PROMPT)
    dialog.get_by_role("button", name="Create project").click()
    seat.page.wait_for_url(lambda url: before not in url)
    seat.ready()
    made = server.snapshot(seat.project)["project"]
    assert (made["preset"], made["prompt"], made["chunk_frames"]) == (NAME, PROMPT, FRAMES)
    seat.generate(2)
    seat.job("idle")
    seat.has_chunks(1)
    assert seat.complaints + seat.refusals + seat.left == []
