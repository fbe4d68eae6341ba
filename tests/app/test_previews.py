"""Smooth and Sharpen on the stage: made beside, behind and after everything else, and gone without a trace."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.previews import FOLDER, Previews
from app.sessions import Session
from tests.app.studio import PATIENCE_S, Bench, Ear
from tests.fakes import FakeBackend
from tests.media.delivery_nets import PlainNet
from tv2tv_core.errors import InputError
from tv2tv_core.media import preview


class GatedNet(PlainNet):
    """Waits before every call while the gate is shut, and tells when somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.waiting = threading.Event(), threading.Event()
        self.gate.set()

    def enlarged(self, frames: np.ndarray, scale: int) -> np.ndarray:
        self.waiting.set()
        assert self.gate.wait(PATIENCE_S)
        return super().enlarged(frames, scale)

    def between(self, pairs: Sequence[tuple[np.ndarray, np.ndarray]], factor: int, fps: float) -> np.ndarray:
        self.waiting.set()
        assert self.gate.wait(PATIENCE_S)
        return super().between(pairs, factor, fps)


class Room:
    """A studio with previews; `made` is a project with chunks that somebody looks at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self.bench = Bench(folder, FakeBackend(delay_s=0.002))
        self.net = GatedNet()
        self.previews = Previews(folder, self.bench.device, self.bench.hub, self.net)

    def made(self, chunks: int = 3) -> tuple[Session, Ear]:
        session = self.bench.library.create()
        ear = self.bench.listen(session)
        session.generate(chunks=chunks)
        self.bench.settle(session)
        return session, ear

    def view(self, session: Session, ear: Ear) -> dict:
        """How it stands now."""
        before = len(ear.heard)
        self.previews.greet(session)
        return next(message for message in ear.heard[before:] if message["type"] == "preview")["preview"]

    def whole(self, session: Session, ear: Ear) -> dict:
        """How it stands when every chunk of the shown take is ready."""
        return self.until(session, ear, lambda view: {one.id for one in session.path[1:]} <= set(view["ready"]))

    def until(self, session: Session, ear: Ear, wanted) -> dict:
        until = time.monotonic() + PATIENCE_S
        while not wanted(view := self.view(session, ear)):
            assert time.monotonic() < until, view
            time.sleep(0.01)
        return view

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.zip"))

    def close(self) -> None:
        self.net.gate.set()
        self.previews.close()
        self.bench.close()


@pytest.fixture
def room(tmp_path: Path):
    one = Room(tmp_path / "projects")
    yield one
    one.close()


def test_every_place_of_the_shown_take_is_there_and_no_other(room: Room):
    session, ear = room.made(3)
    room.previews.want(session, True, True)
    view = room.whole(session, ear)
    assert (view["smooth"], view["sharpen"], view["factor"]) == (True, True, 2)
    found = 0
    for record in session.path[1:]:
        for place in range(-1, 10):
            try:
                jpeg = room.previews.file(session.id, view["variant"], record.id, place)
            except InputError:
                continue
            assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape == (4 * 24, 4 * 40, 3)
            found += 1
    assert found == (3 * 4 - 1) * 2 + 1


def test_only_new_chunks_are_made_when_the_clip_grows_and_nothing_twice(room: Room):
    session, ear = room.made(2)
    room.previews.want(session, False, True)
    room.whole(session, ear)
    old = {path: path.stat().st_mtime_ns for path in room.files()}
    session.generate(chunks=2)
    room.bench.settle(session)
    room.whole(session, ear)
    assert len(room.files()) == 4 and all(path.stat().st_mtime_ns == when for path, when in old.items())
    room.previews.want(session, False, False)
    calls = len(room.net.blocks)
    room.previews.want(session, False, True)
    assert len(room.view(session, ear)["ready"]) == 4
    again = Previews(room.folder.parent, room.bench.device, room.bench.hub, room.net)  # a server that starts later
    again.want(session, False, True)
    again.close()
    assert len(room.net.blocks) == calls


def test_it_begins_where_the_playhead_is(room: Room):
    session, ear = room.made(4)
    room.previews.want(session, True, False, at=2)
    room.whole(session, ear)
    order = [message["chunk"] for message in ear.heard if message["type"] == "previewed"]
    assert order == [session.path[1 + index].id for index in (2, 3, 0, 1)]


def test_generation_comes_first(room: Room):
    session, ear = room.made(2)
    room.bench.backend.delay_s = 0.03
    room.net.gate.clear()
    room.previews.want(session, False, True)
    assert room.net.waiting.wait(PATIENCE_S)
    session.generate(chunks=3)
    room.net.gate.set()
    room.bench.settle(session)
    kinds = [message["type"] for message in ear.heard]
    begun, last = kinds.index("story", kinds.index("preview")), len(kinds) - kinds[::-1].index("chunk")
    assert "previewed" not in kinds[begun:last]
    room.whole(session, ear)


def test_what_is_not_wanted_any_more_is_dropped(room: Room):
    session, ear = room.made(3)
    room.net.gate.clear()
    room.previews.want(session, False, True)
    assert room.net.waiting.wait(PATIENCE_S)
    room.previews.want(session, False, False)
    room.net.gate.set()
    assert room.view(session, ear) == {**room.view(session, ear), "smooth": False, "sharpen": False, "ready": []}
    room.previews.close()
    assert room.files() == []


def test_another_take_is_made_when_it_is_shown(room: Room):
    session, ear = room.made(3)
    room.previews.want(session, True, False)
    room.whole(session, ear)
    first = session.path[1].id
    session.editor.retry(session.path[2].id)
    room.bench.settle(session)
    view = room.whole(session, ear)
    assert first in view["ready"] and len(room.files()) == 3 + 2


def test_nobody_looks_nothing_is_made(room: Room):
    session, ear = room.made(1)
    room.bench.hub.detach(session.id, ear)
    room.previews.want(session, True, True)
    time.sleep(0.4)
    assert room.files() == [] and not room.net.waiting.is_set()
    session.attach(ear)
    room.whole(session, ear)


def test_a_damaged_preview_is_told_and_made_again(room: Room):
    session, ear = room.made(1)
    room.previews.want(session, True, False)
    view = room.whole(session, ear)
    chunk = session.path[1].id
    good = room.previews.file(session.id, view["variant"], chunk, 1)
    [path] = room.files()
    path.write_bytes(path.read_bytes()[:40])
    refused = []

    def ask() -> None:
        with pytest.raises(InputError):
            room.previews.file(session.id, view["variant"], chunk, 1)
        refused.append(True)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    room.net.gate.clear()  # it is not there again before all have asked
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    room.net.gate.set()
    ear.wait(lambda message: message["type"] == "notice" and "damaged" in message["text"])
    assert len(refused) == 4
    assert len([message for message in ear.heard if message["type"] == "notice" and "damaged" in message["text"]]) == 1
    room.whole(session, ear)
    assert room.previews.file(session.id, view["variant"], chunk, 1) == good


def test_the_folder_may_be_removed_at_any_time(room: Room):
    session, ear = room.made(1)
    room.previews.want(session, True, False)
    view = room.whole(session, ear)
    room.previews.file(session.id, view["variant"], session.path[1].id, 1)
    for path in room.files():
        path.unlink()
    with pytest.raises(InputError, match="no such preview"):
        room.previews.file(session.id, view["variant"], session.path[1].id, 1)
    room.whole(session, ear)
    assert len(room.files()) == 1


def test_a_disk_that_refuses_stops_it_with_words(room: Room):
    session, ear = room.made(2)
    room.folder.write_text("in the way")
    room.previews.want(session, True, False)
    view = room.until(session, ear, lambda view: view["stopped"])
    assert "Cannot write" in view["stopped"] and view["ready"] == []
    ear.wait(lambda message: message["type"] == "notice" and "original frames" in message["text"])
    room.folder.unlink()
    room.previews.want(session, True, False)  # pressing it again tries again
    assert room.whole(session, ear)["stopped"] is None


def test_the_oldest_go_when_there_are_too_many_but_never_what_is_shown(room: Room, tmp_path: Path):
    session, ear = room.made(3)
    room.previews.want(session, False, True)
    room.whole(session, ear)
    room.previews.close()
    size = sum(path.stat().st_size for path in room.files())
    old = {path.name for path in room.files()}
    room.previews = Previews(room.folder.parent, room.bench.device, room.bench.hub, room.net, most_bytes=int(size * 1.2))
    other, other_ear = room.made(3)
    room.previews.want(other, False, True)
    room.whole(other, other_ear)
    assert sum(path.stat().st_size for path in room.files()) <= size * 1.2
    assert {f"{one.id}.zip" for one in other.path[1:]} <= {path.name for path in room.files()}
    assert not old <= {path.name for path in room.files()}
    other.generate(chunks=3)
    room.bench.settle(other)
    view = room.until(other, other_ear, lambda view: view["stopped"])
    assert "too long" in view["stopped"] and len(view["ready"]) == len(list((room.folder / other.id).rglob("*.zip"))) >= 3


def test_frames_as_wide_as_the_stage_are_not_sharpened(tmp_path: Path):
    bench = Bench(tmp_path / "wide", FakeBackend(832, 48))
    previews = Previews(tmp_path / "wide", bench.device, bench.hub, PlainNet())
    with pytest.raises(InputError, match="as wide as the stage"):
        previews.want(bench.library.create(), False, True)
    previews.close()
    bench.close()


def test_a_deleted_project_leaves_no_previews(room: Room):
    session, ear = room.made(1)
    room.previews.want(session, True, True)
    room.whole(session, ear)
    room.previews.forget(session.id)
    assert room.files() == [] and not room.view(session, ear)["smooth"]


def test_a_preview_is_that_of_its_chunk(room: Room):
    session, ear = room.made(2)
    room.previews.want(session, True, False)
    view = room.whole(session, ear)
    frames = [session.project.frames(record.id) for record in session.path[1:]]
    for index, record in enumerate(session.path[1:]):
        for k in range(4):
            jpeg = room.previews.file(session.id, view["variant"], record.id, 2 * k + 1)
            back = cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1)[..., ::-1].astype(int)
            own = np.abs(back - frames[index][k]).mean()
            assert own < min(np.abs(back - frames[index][j]).mean() for j in range(4) if j != k)
    assert preview.first_place(preview.for_stage(True, False, 40), 0) == 1
