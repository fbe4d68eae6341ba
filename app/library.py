"""The folder of projects: list, create, open, copy, delete and bring back; hands out one session per project."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from app import wire
from app.jobs import Device, Idle
from app.live import Hub
from app.sessions import Session
from tv2tv_core import presets
from tv2tv_core.errors import InputError, StorageError, TV2TVError
from tv2tv_core.media.atomic import storage_error
from tv2tv_core.media.clip import NOTHING_SEEN, TEXT_ALONE, check_prompt, resolve_start
from tv2tv_core.media.images import fit_frame
from tv2tv_core.project.file import Project, ProjectInfo, ProjectSummary, peek_frame, summary
from tv2tv_core.project.lock import FileLock
from tv2tv_core.project.schema import remove_companions
from tv2tv_core.project.write import move_file
from tv2tv_core.settings import resolve, shorten
from tv2tv_core.timeline import ChunkSegment, History

log = logging.getLogger(__name__)
SUFFIX = ".tv2tv"
TRASH = ".trash"
TRASH_DAYS = 30
"""How long a deleted project can be brought back at least; older ones go when a studio starts on the folder."""
ID = re.compile(r"[0-9a-f]{16}")
TOKEN = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}")
MAX_NAME = 100  # of what a copy is called after
MOST_OPEN = 16
"""Open projects; further ones that nobody looks at are closed, the longest unused first: each holds files open."""
UNUSED_S = 60.0
NOT_THERE = "There is no such project; it may have been deleted in another window."
Exports = Callable[[str], list[dict[str, object]]]


@dataclass(frozen=True, eq=False)
class NewProject:
    """What a new project starts from. `frames`: uint8 THWC of any size; `settings`: overrides of the preset's."""

    name: str
    start: str
    prompt: str
    frames: np.ndarray
    preset: str
    settings: Mapping[str, object]


class Library:
    """All projects in one folder. Every public method may be called from any thread."""

    def __init__(
        self, folder: Path, device: Device, hub: Hub, preset: str = presets.DEFAULT, exports: Exports = lambda project: []
    ) -> None:
        """`exports` gives the exports of a project id as browsers are shown them."""
        self.folder, self.preset = Path(folder), preset
        self._device, self._hub, self._exports = device, hub, exports
        self._lock = threading.RLock()
        self._sessions: dict[str, Session] = {}
        self._going: set[str] = set()  # projects on their way into the trash
        self._summaries: dict[Path, tuple[tuple[int, int], ProjectSummary | None]] = {}
        try:
            (self.folder / TRASH).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self.folder, error) from error
        empty_trash(self.folder / TRASH, time.time())
        device.on_queue = lambda order: self._tell_queue()

    def session(self, project: str) -> Session:
        """The session of a project; opens the file the first time. Raises InputError for an unknown or damaged one."""
        with self._lock:
            if project in self._going:
                raise InputError(NOT_THERE)
            session = self._sessions.get(project) or self._keep(Project.open(self._path(project)))
            session.used = time.monotonic()
            return session

    def frame(self, project: str, chunk: str, k: int) -> bytes:
        """Frame `k` of a chunk as PNG; a project that is not open is only looked into. Raises InputError."""
        session = self._sessions.get(project)
        return session.project.frame_png(chunk, k) if session else peek_frame(self._path(project), chunk, k)

    def list(self) -> list[dict[str, object]]:
        """Every project, the one changed last first, as browsers show it; damaged files are named, not hidden."""
        found = []
        with self._lock:
            for path in self.folder.glob(f"*{SUFFIX}"):
                if ID.fullmatch(path.stem) is None:
                    continue
                known = self._summary(path)
                if known is None:
                    found.append({"id": path.stem, "name": f"{path.name} (cannot be read)", "updated": "", "chunks": 0,
                                  "seconds": 0, "thumb": None, "job": "failed"})  # fmt: skip
                    continue
                open_one = self._sessions.get(known.id)
                job = wire.job(open_one.job if open_one else Idle())["state"]
                thumb = wire.frame_url(known.id, known.thumb, 0) if known.thumb else None
                found.append({"id": known.id, "name": known.name, "updated": known.updated, "chunks": known.chunks,
                              "seconds": known.seconds, "thumb": thumb, "job": job})  # fmt: skip
        return sorted(found, key=lambda one: str(one["updated"]), reverse=True)

    def create(self, start: str | None = None, prompt: str | None = None, name: str | None = None,
               preset: str | None = None) -> Session:  # fmt: skip
        """A new project from a start frame that ships (None: the first), or from `TEXT_ALONE`. Raises InputError."""
        if start == TEXT_ALONE:
            return self._from_text(prompt or "", name, preset or self.preset)
        if start is not None and Path(start).suffix:
            raise InputError(f"There is no start frame {shorten(start)}: upload a picture or a video instead.")
        chosen = resolve_start(start)
        text = chosen.prompt if prompt is None or not prompt.strip() else check_prompt(prompt)
        words = chosen.name.replace("-", " ").capitalize() if name is None or not name.strip() else name
        return self.add(NewProject(words, chosen.name, text, chosen.frames, preset or self.preset, {}))

    def _from_text(self, prompt: str, name: str | None, preset: str) -> Session:
        """A new project without a picture, for presets that can start so."""
        if not presets.shipped(preset).from_text:
            raise InputError(f"Preset {preset} goes on from what it sees and cannot start from text: choose a start frame.")
        if not prompt.strip():
            raise InputError("The prompt is empty: without a start frame it is all there is, so write what is to be seen.")
        nothing = np.full((1, 16, 16, 3), NOTHING_SEEN, np.uint8)
        words = name if name is not None and name.strip() else " ".join(prompt.split())[:40]
        return self.add(NewProject(words, TEXT_ALONE, prompt, nothing, preset, {}))

    def add(self, new: NewProject) -> Session:
        """A new project. Its model is described, not loaded: the start frame is encoded when chunks are first made."""
        preset = presets.shipped(new.preset)
        spec = self._device.engines.describe(preset)
        frames = np.stack([fit_frame(frame, spec.width, spec.height) for frame in new.frames[-spec.chunk_frames :]])
        frames = np.concatenate([frames, np.repeat(frames[-1:], spec.chunk_frames - len(frames), axis=0)])
        info = ProjectInfo(
            id=secrets.token_hex(8),
            name=new.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            preset=new.preset,
            backend=spec.name,
            model_hash=spec.model_hash,
            fps=spec.fps,
            chunk_frames=spec.chunk_frames,
            width=spec.width,
            height=spec.height,
            prompt=check_prompt(new.prompt),
            start=new.start,
            settings=resolve({"seed": secrets.randbelow(2**31)}, preset.settings, new.settings).as_dict(),
        )
        with self._lock:
            nothing = np.zeros(0, np.float16)  # the latents come when the model is there
            start = History(ChunkSegment(-1, frames, nothing), prompt=info.prompt)
            return self._keep(Project.create(self._path(info.id, new=True), info, start))

    def adopt(self, file: Path) -> Session:
        """Take a project file in from outside, as a project of its own. Raises InputError for what is none."""
        with Project.open(file) as source:  # every check, on the copy that was uploaded
            presets.shipped(source.info.preset)
            return self._copy(source, source.info.name)

    def duplicate(self, project: str) -> Session:
        """A copy of a project under a new id."""
        source = self.session(project).project
        return self._copy(source, f"{source.info.name[:MAX_NAME]} (copy)")

    def delete(self, project: str) -> str:
        """Move a project into the trash; returns the token that `restore` takes."""
        path = self._path(project)
        token = f"{project}-{secrets.token_hex(4)}"
        with self._lock:
            if project in self._going:
                raise InputError(NOT_THERE)
            self._going.add(project)
            session = self._sessions.get(project)
        try:
            if session is not None:
                session.close()
            trashed = self.folder / TRASH / f"{token}{SUFFIX}"
            move_file(path, trashed)
            with contextlib.suppress(OSError):
                os.utime(trashed)  # its days in the trash count from now; most systems note the move themselves
        finally:
            with self._lock:
                self._sessions.pop(project, None)
                self._going.discard(project)
        self._hub.publish(project, {"type": "gone"})
        return token

    def restore(self, token: str) -> str:
        """Bring a deleted project back; returns its id. Raises InputError for an unknown token or a taken place."""
        if TOKEN.fullmatch(token) is None:
            raise InputError(f"{shorten(token)} names no deleted project.")
        trashed, project = self.folder / TRASH / f"{token}{SUFFIX}", token.split("-")[0]
        path = self._path(project, new=True)
        if not trashed.exists() or path.exists():
            raise InputError("That project is no longer in the trash, or it is back already.")
        move_file(trashed, path)
        return project

    def queue(self) -> list[dict[str, object]]:
        """The projects that wait for the device, the one on it first."""
        found = []
        for project in self._device.order():
            session = self._sessions.get(project)
            if session is not None:
                job = wire.job(session.job)
                found.append({"project": project, "name": session.project.info.name, "state": job["state"],
                              "done": job["done"], "total": job["total"]})  # fmt: skip
        return found

    def reorder(self, projects: list[str]) -> None:
        """Bring the waiting projects into this order."""
        self._device.reorder(projects)

    def close(self) -> None:
        """Stop every run at once, keep what is left to do, close every file."""
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            session.close()
        self._device.close()

    # Inside ---------------------------------------------------------------------------------------------------------

    def _path(self, project: str, new: bool = False) -> Path:
        """The file of a project id; the only place where an id becomes a path. Raises InputError."""
        if ID.fullmatch(project) is None:
            raise InputError(f"{shorten(project)} is no project id.")
        path = self.folder / f"{project}{SUFFIX}"
        if not new and not path.is_file():
            raise InputError(NOT_THERE)
        return path

    def _copy(self, source: Project, name: str) -> Session:
        """A project of its own from what another is right now; nothing stays of a copy that fails."""
        fresh = secrets.token_hex(8)
        path = self._path(fresh, new=True)
        try:
            source.copy_to(path, new_id=fresh)
            copy = Project.open(path)
        except TV2TVError:
            path.unlink(missing_ok=True)
            raise
        copy.set_pending(None)
        copy.rename(name)
        return self._keep(copy)

    def _keep(self, project: Project) -> Session:
        """A session for an open project; others that nobody uses make room for it."""
        shown = project.info.id
        try:
            session = Session(project, self._device, self._hub, self.queue, lambda: self._exports(shown))
        except BaseException:
            project.close()
            raise
        session.on_change = self._tell_queue
        with self._lock:
            self._close_unused()
            self._sessions[shown] = session
        return session

    def _close_unused(self) -> None:
        now = time.monotonic()
        unused = [
            one
            for one in self._sessions.values()
            if now - one.used > UNUSED_S and not (one.busy or self._hub.watched(one.id) or _exporting(self._exports(one.id)))
        ]
        unused.sort(key=lambda one: one.used)
        for session in unused[: max(0, len(self._sessions) + 1 - MOST_OPEN)]:
            del self._sessions[session.id]
            session.close()

    def _tell_queue(self) -> None:
        self._hub.publish_all({"type": "queue", "queue": self.queue()})

    def _summary(self, path: Path) -> ProjectSummary | None:
        """A project's summary, read again only when its files have changed; None for one that cannot be read."""
        opened = self._sessions.get(path.stem)
        try:
            if opened is not None:
                return opened.project.summarise()
            files = [path, path.with_name(path.name + "-wal")]
            stamps = [file.stat() for file in files if file.exists()]
            mark = (max(stat.st_mtime_ns for stat in stamps), sum(stat.st_size for stat in stamps))
            if self._summaries.get(path, (None,))[0] != mark:
                self._summaries[path] = (mark, summary(path))
            return self._summaries[path][1]
        except (InputError, StorageError, OSError):
            return None


def empty_trash(folder: Path, now: float) -> None:
    """Remove the projects that were deleted more than `TRASH_DAYS` before `now` (seconds since 1970).

    Only what `Library.delete` put there goes, and nothing that anybody has open. What the disk refuses stays.
    """
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if TOKEN.fullmatch(path.stem) is None:
            continue
        try:
            found = path.lstat()
            # Whatever was done to it last counts: a file that somebody has put back or repaired is young again.
            if now - max(found.st_mtime, found.st_ctime) <= TRASH_DAYS * 86_400:
                continue
            with FileLock(path):
                path.unlink()
                remove_companions(path)
        except (OSError, StorageError) as error:
            log.warning("left in the trash: %s", error)
        else:
            log.info("removed from the trash: %s", path.name)


def _exporting(tasks: list[dict[str, object]]) -> bool:
    return any(task["state"] == "running" for task in tasks)
