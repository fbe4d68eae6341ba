"""Smooth and Sharpen on the stage: makes the shown take's previews in the background, chunk by chunk, and keeps them.

One thread for all projects. It works only while somebody looks at the project and the device has nothing to do, and
always on the take that is shown now. What it made stays in a folder that may be removed at any time.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from app import present
from app.jobs import Device
from app.live import Hub
from app.sessions import Session
from tv2tv_core.errors import Cancelled, InputError, StorageError
from tv2tv_core.media import preview
from tv2tv_core.media.atomic import storage_error
from tv2tv_core.media.delivery import Delivery, Net
from tv2tv_core.project.file import ChunkRecord

log = logging.getLogger(__name__)
FOLDER = ".previews"
MOST_BYTES = 2**30
"""Of all previews together; the oldest go first, those of a take that is being shown never."""
ROOM = 0.9  # of it is left filled when old ones go, so that they need not go for every chunk
LOOK_S = 0.25  # how often it looks whether there is something to do, while anybody wants previews
STEP_ASIDE_S = 0.05
ID = re.compile(r"[0-9a-f]{16}")
VARIANT = re.compile(r"[124]x[124]-[0-9a-f]{8}")


@dataclass(eq=False)
class Want:
    """What the stage of one project shall show. `ready`: chunks whose previews are there; `at`: the chunk to begin with."""

    session: Session
    smooth: bool
    sharpen: bool
    at: int
    delivery: Delivery
    variant: str
    ready: set[str] = field(default_factory=set)
    stopped: str | None = None

    def view(self) -> dict[str, object]:
        """As browsers show it."""
        return {"smooth": self.smooth, "sharpen": self.sharpen, "factor": self.delivery.fps_factor,
                "variant": self.variant, "ready": sorted(self.ready), "stopped": self.stopped}  # fmt: skip

    def on_path(self, record: ChunkRecord) -> bool:
        """Whether a chunk is part of the take that is shown."""
        path = self.session.path
        return record.index + 1 < len(path) and path[record.index + 1].id == record.id


OFF = {"smooth": False, "sharpen": False, "factor": 1, "variant": "", "ready": [], "stopped": None}


class Previews:
    """The previews of all projects. Every public method may be called from any thread.

    `net` stands in for the networks that ship; `most_bytes` bounds the folder.
    """

    def __init__(self, projects: Path, device: Device, hub: Hub, net: Net | None = None, most_bytes: int = MOST_BYTES) -> None:
        self._folder = projects / FOLDER
        self._device, self._hub, self._net, self._most = device, hub, net, most_bytes
        self._wants: dict[str, Want] = {}
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._bytes: int | None = None  # of the folder; counted when the first preview is made
        self._thread = threading.Thread(target=self._work, name="previews", daemon=True)
        self._thread.start()

    # What others ask ------------------------------------------------------------------------------------------------

    def want(self, session: Session, smooth: bool, sharpen: bool, at: int = 0) -> None:
        """Show a project's frames smoothed, sharpened, both or (neither) as they are; begin with chunk `at`.

        Also tries again after something stopped it. Whatever is being made for it stops. Raises InputError where Sharpen
        would show nothing more.
        """
        width = session.project.info.width
        delivery = preview.for_stage(smooth, sharpen, width)
        if sharpen and delivery.sharpen == 1:
            raise InputError(f"Frames of {width} pixels are as wide as the stage shows: Sharpen them in an export.")
        name = preview.variant(delivery)
        made = None if delivery.plain else Want(session, smooth, sharpen, at, delivery, name, self._found(session.id, name))
        with self._changed:
            if made is None:
                self._wants.pop(session.id, None)
            else:
                self._wants[session.id] = made
            self._changed.notify_all()
        self._tell(session)

    def greet(self, session: Session) -> None:
        """Tell how it stands; for a browser that has just come."""
        with self._changed:
            found = self._wants.get(session.id)
            if found is not None:
                found.session = session  # the project may have been closed and opened again
        self._tell(session)

    def file(self, project: str, variant: str, chunk: str, place: int) -> bytes:
        """The JPEG at a place of a chunk's previews. Raises InputError when it is not there; a damaged one is made again."""
        if not (ID.fullmatch(project) and VARIANT.fullmatch(variant) and ID.fullmatch(chunk)):
            raise InputError("There is no such preview.")
        path = self._path(project, variant, chunk)
        try:
            return preview.load(path, place)
        except StorageError as error:
            words = None
            with contextlib.suppress(FileNotFoundError):  # of several who meet it one tells
                path.unlink()
                words = "A preview was damaged. It is made again; until then the original frames play."
            self._lost(path, words)
            raise InputError(str(error)) from error
        except InputError:
            if not path.exists():
                self._lost(path)
            raise

    def forget(self, project: str) -> None:
        """Stop the previews of a project and remove its files."""
        with self._changed:
            self._wants.pop(project, None)
            self._bytes = None
        if ID.fullmatch(project):
            shutil.rmtree(self._folder / project, ignore_errors=True)

    def close(self) -> None:
        """Stop; what is made stays."""
        self._closing.set()
        with self._changed:
            self._wants.clear()
            self._changed.notify_all()
        self._thread.join()

    # The thread -----------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._closing.is_set():
            found = self._next()
            if found is not None:
                self._one(*found)
                continue
            with self._changed:
                if not self._closing.is_set():
                    self._changed.wait(LOOK_S if self._wants else None)

    def _next(self) -> tuple[Want, ChunkRecord] | None:
        """The next chunk to make; None while there is none or the device has work."""
        with self._changed:
            wants = [want for want in self._wants.values() if want.stopped is None]
        if not wants or self._device.order():
            return None
        for want in wants:
            chunks = want.session.path[1:] if self._hub.watched(want.session.id) else []
            for record in chunks[want.at :] + chunks[: want.at]:
                if record.id not in want.ready:
                    return want, record
        return None

    def _one(self, want: Want, record: ChunkRecord) -> None:
        def check() -> None:
            while True:
                if not (self._current(want) and want.on_path(record)):
                    raise Cancelled("Not wanted any more.")
                if not self._device.order():
                    return
                self._closing.wait(STEP_ASIDE_S)  # generation comes first; what is made so far is kept

        try:
            self._make(want, record, check)
        except Exception as error:
            if isinstance(error, Cancelled) or not self._current(want):
                return  # the project may have been closed under its hands
            log.warning("previews stopped: %s", error)
            want.stopped = present.failure(error)[0]
            want.session.notice("error", f"Previews stopped. {want.stopped} The original frames play.")
            self._tell(want.session)
            return
        want.session.tell({"type": "previewed", "variant": want.variant, "chunk": record.id})

    def _make(self, want: Want, record: ChunkRecord, check: Callable[[], None]) -> None:
        check()
        project = want.session.project
        before = project.frames(record.parent)[-1] if record.index and record.parent else None
        pictures = []
        frames = project.frames(record.id)
        for picture in preview.chunk_pictures(before, frames, want.delivery, project.info.fps, self._net):
            pictures.append(preview.encode(picture))
            check()
        path = self._path(project.info.id, want.variant, record.id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(path.parent, error) from error
        preview.save(path, pictures, preview.first_place(want.delivery, record.index))
        self._make_room(path)
        with self._changed:
            want.ready.add(record.id)

    def _current(self, want: Want) -> bool:
        project = want.session.id
        return self._wants.get(project) is want and self._hub.watched(project) and not self._closing.is_set()

    # Files ----------------------------------------------------------------------------------------------------------

    def _path(self, project: str, variant: str, chunk: str) -> Path:
        return self._folder / project / variant / f"{chunk}.zip"

    def _found(self, project: str, variant: str) -> set[str]:
        """The chunks whose previews are on the disk."""
        return {path.stem for path in (self._folder / project / variant).glob("*.zip") if ID.fullmatch(path.stem)}

    def _kept(self) -> list[tuple[float, int, Path]]:
        """Every file with its time and its bytes."""
        found = []
        for path in self._folder.rglob("*.zip"):
            with contextlib.suppress(FileNotFoundError):  # its project was deleted just now
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        return found

    def _make_room(self, new: Path) -> None:
        """Count a new file; remove the oldest ones when there are too many. Raises StorageError when none may go."""
        held = self._bytes
        self._bytes = None if held is None else held + new.stat().st_size
        if self._bytes is not None and self._bytes <= self._most:
            return
        kept = sorted(self._kept())
        held = sum(size for _, size, _ in kept)
        with self._changed:
            wants = list(self._wants.values())
        shown = {self._path(want.session.id, want.variant, record.id) for want in wants for record in want.session.path}
        for _, size, path in kept if held > self._most else ():
            if path not in shown and held > self._most * ROOM:
                path.unlink(missing_ok=True)
                held -= size
                self._lost(path)
        self._bytes = held
        if held > self._most:
            self._bytes -= new.stat().st_size
            new.unlink()
            room = f"{self._most / 1e9:.1f} GB"
            raise StorageError(f"They take up {room}, which is the most: this take is too long to be made as a whole.")

    def _lost(self, path: Path, words: str | None = None) -> None:
        """A preview is not there any more: it will be made anew when it is shown."""
        with self._changed:
            found = self._wants.get(path.parent.parent.name)
            if found is None or found.variant != path.parent.name or not (words or path.stem in found.ready):
                return
            found.ready.discard(path.stem)
        if words:
            found.session.notice("warning", words)
        self._tell(found.session)

    def _tell(self, session: Session) -> None:
        with session.lock:  # so that no chunk is told between looking and telling
            with self._changed:
                found = self._wants.get(session.id)
                view = dict(OFF) if found is None else found.view()
            session.tell({"type": "preview", "preview": view})
