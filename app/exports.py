"""Exports in the background: one task at a time, progress to every browser, finished files kept until the server ends."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from app import present
from app.sessions import Session
from tv2tv_core.errors import Cancelled, InputError
from tv2tv_core.media.atomic import storage_error
from tv2tv_core.media.clip_document import make_document
from tv2tv_core.media.clip_view import ClipChunk, ClipView
from tv2tv_core.media.export import ExportRequest, export, suggest_name
from tv2tv_core.project.file import Project
from tv2tv_core.settings import shorten

FOLDER = ".exports"
MOST_KEPT = 30  # per project; older ones go
TELL_S = 0.1
STOPPED = "Stopped; nothing was written."
NAME = re.compile(r"[A-Za-z0-9._-]{1,120}")
ID = re.compile(r"[0-9a-f]{16}")


@dataclass
class Task:
    """One export: `state` is "running" (or waiting to), "done", "failed" or "cancelled"; `progress` in [0, 1]."""

    id: str
    kind: str
    state: str = "running"
    progress: float = 0.0
    left_s: float | None = None
    message: str | None = None
    files: list[dict[str, object]] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    queued: Future[None] | None = None

    def view(self) -> dict[str, object]:
        """The task as browsers show it."""
        shown = ("id", "kind", "state", "progress", "left_s", "message")
        return {name: getattr(self, name) for name in shown} | {"files": list(self.files)}


class Exporter:
    """Makes files from takes; one thread, so that two exports do not slow each other and the model down."""

    def __init__(self, projects: Path) -> None:
        self._folder = projects / FOLDER
        shutil.rmtree(self._folder, ignore_errors=True)
        self._tasks: dict[str, list[Task]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="export")

    def start(self, session: Session, options: Mapping[str, object]) -> str:
        """Queue an export of a take (`take`, default: the active one); returns its id. Raises InputError.

        options: kind, captions, scale, fps_factor, sharpen, speed, take, other (the second take of a side by side).
        """
        request = ExportRequest(
            kind=str(options.get("kind", "mp4")),
            captions=str(options.get("captions", "none")),
            scale=options.get("scale", 4),
            fps_factor=options.get("fps_factor", 1),
            sharpen=options.get("sharpen", 1),
            speed=options.get("speed", 1),
        )
        view = view_of(session.project, options.get("take"))
        other = view_of(session.project, options["other"]) if options.get("other") else None
        task = Task(secrets.token_hex(8), request.kind)
        with self._lock:
            tasks = self._tasks.setdefault(session.id, [])
            tasks.append(task)
            finished = [old for old in tasks if old.state != "running"]
            for old in finished[: max(0, len(tasks) - MOST_KEPT)]:
                shutil.rmtree(self._folder / session.id / old.id, ignore_errors=True)
                tasks.remove(old)
        self._tell(session, task)
        task.queued = self._pool.submit(self._make, session, task, request, view, other)
        return task.id

    def tasks(self, project: str) -> list[dict[str, object]]:
        """The exports of a project, oldest first."""
        with self._lock:
            return [task.view() for task in self._tasks.get(project, [])]

    def cancel(self, session: Session, task: str) -> None:
        """Stop an export, which leaves no file; a finished one stays. Raises InputError for an unknown one."""
        with self._lock:
            found = next((one for one in self._tasks.get(session.id, []) if one.id == task), None)
        if found is None:
            raise InputError(f"There is no export {shorten(task)}.")
        found.cancelled.set()
        if found.queued is not None and found.queued.cancel():  # it waits behind another: nothing else would tell
            self._failed(session, found, Cancelled(STOPPED))

    def forget(self, project: str) -> None:
        """Stop the exports of a project and remove its files."""
        with self._lock:
            tasks = self._tasks.pop(project, [])
        for task in tasks:
            task.cancelled.set()
        if ID.fullmatch(project):
            shutil.rmtree(self._folder / project, ignore_errors=True)

    def file(self, project: str, task: str, name: str) -> Path:
        """A finished file. Raises InputError for anything that is not one; nothing else of the disk can be reached."""
        known = ID.fullmatch(project) and ID.fullmatch(task) and NAME.fullmatch(name)
        path = self._folder / project / task / name if known else None
        if path is None or path.name.startswith(".") or not path.is_file():
            raise InputError("There is no such file any more: export it again.")
        return path

    def project_copy(self, session: Session) -> tuple[Path, str]:
        """A consistent copy of a project file for a download, and the name to give it; the caller removes the copy."""
        folder = self._folder / session.id
        path = folder / f"{secrets.token_hex(8)}.tv2tv"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(folder, error) from error
        session.project.copy_to(path)
        letters = re.sub(r"[^A-Za-z0-9]+", "-", session.project.info.name).strip("-")
        return path, f"{letters[:60] or 'project'}.tv2tv"

    def wait(self, session: Session, task: str, timeout_s: float = 600.0) -> dict[str, object]:
        """Wait for an export and return its view. Raises InputError for an unknown one or after `timeout_s`."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            found = next((one for one in self.tasks(session.id) if one["id"] == task), None)
            if found is None:
                raise InputError(f"There is no export {shorten(task)}.")
            if found["state"] != "running":
                return found
            time.sleep(0.05)
        raise InputError("The export takes too long; look for it in the studio.")

    def close(self) -> None:
        """Stop and forget everything."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make(self, session: Session, task: Task, request: ExportRequest, view: ClipView, other: ClipView | None) -> None:
        began, told = time.monotonic(), 0.0

        def progress(done: int, total: int) -> None:
            nonlocal told
            now = time.monotonic()
            task.progress = done / max(total, 1)
            task.left_s = round((now - began) * (total - done) / done, 1) if done else None
            if now - told > TELL_S:
                told = now
                self._tell(session, task)

        def check() -> None:
            if self._closing.is_set() or task.cancelled.is_set():
                raise Cancelled(STOPPED)

        folder = self._folder / session.id / task.id
        try:
            check()
            folder.mkdir(parents=True, exist_ok=True)
            path = export(view, request, folder / suggest_name(view, request.kind), progress, check, other)
            url = f"/studio/p/{session.id}/export/{task.id}/{path.name}"
            task.files = [{"name": path.name, "url": url, "bytes": path.stat().st_size}]
            task.state, task.progress, task.left_s = "done", 1.0, 0.0
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            self._failed(session, task, error)
            return
        self._tell(session, task)

    def _failed(self, session: Session, task: Task, error: Exception) -> None:
        """Tell how an export ended that made no file."""
        task.message, _ = present.failure(error)
        _, inside, name = task.message.partition(f"{task.id}{os.sep}")
        if inside:  # nobody chose that folder, and it is the server's
            task.message = f"Cannot write {name}"
        task.state = "cancelled" if isinstance(error, Cancelled) else "failed"
        self._tell(session, task)

    @staticmethod
    def _tell(session: Session, task: Task) -> None:
        session.tell({"type": "export", "export": task.view()})


def view_of(project: Project, take: object = None) -> ClipView:
    """A take as exports see it; None is the active one. Raises InputError for an unknown or empty take."""
    story = project.story
    chosen = story.current if take is None else story.take(str(take))
    path = project.path(chosen.tip)
    if len(path) < 2:
        raise InputError(f"{chosen.name} has no frames yet: press Generate first.")
    source, chunks = None, []
    for record in path[1:]:
        source = record.source if record.line is not None else source
        chunks.append(ClipChunk(record.index, record.plan, source, lambda chunk=record.id: project.frames(chunk)))
    info = project.info
    document = make_document(info, path, chosen.name, lambda: project.frames(path[0].id))
    return ClipView(f"{info.name} - {chosen.name}", info.fps, info.width, info.height, info.chunk_frames, chunks, document)
