"""What people drop on the page → a project: a picture, a video, an exported clip, or a project file, told by content."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO

from app.library import Library, NewProject
from app.sessions import Session
from tv2tv_core import presets
from tv2tv_core.errors import InputError
from tv2tv_core.intent import text_of
from tv2tv_core.media.atomic import storage_error
from tv2tv_core.media.clip import resolve_start
from tv2tv_core.media.clip_document import ClipDocument, NoDocument, read_document
from tv2tv_core.media.images import IMAGE_SUFFIXES
from tv2tv_core.media.video import VIDEO_SUFFIXES

SQLITE = b"SQLite format 3\x00"
PIECE = 2**20
_HEADS = ((b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"GIF8", ".gif"), (b"BM", ".bmp"), (b"II*\x00", ".tif"),
          (b"MM\x00*", ".tif"), (b"\x1aE\xdf\xa3", ".mkv"), (b"PK\x03\x04", ".zip"))  # fmt: skip


def take_in(library: Library, stream: BinaryIO, filename: str, wanted: Mapping[str, str]) -> tuple[Session, str]:
    """Make a project from an uploaded file; returns its session and what to tell the person.

    The file's content decides what it is; its name only names the project, unless `wanted` has a `name`. `wanted` may
    also hold the `prompt` and the `preset` of a project that starts from a picture or a video. Raises InputError for
    anything that is none of the four, StorageError when the disk refuses. Nothing stays on the disk but the project.
    """
    name = wanted.get("name", "").strip() or _clean(filename)
    with _stored(stream, library.folder, _clean(filename)) as file:
        with file.open("rb") as opened:
            head = opened.read(64)
        if head.startswith(SQLITE):
            session = library.adopt(file)
            return session, f"Opened {session.project.info.name}."
        typed = file.with_suffix(_suffix(head, filename))
        file.rename(typed)
        try:
            if typed.suffix in VIDEO_SUFFIXES | {".zip"} and (document := _document(typed)) is not None:
                return _restore(library, document, name)
            if typed.suffix == ".zip":
                raise InputError("This zip holds no frames of an exported clip: choose another file.")
            preset = wanted.get("preset", library.preset)
            start = resolve_start(str(typed), presets.shipped(preset))
        finally:
            typed.unlink(missing_ok=True)
        what = "picture" if typed.suffix in IMAGE_SUFFIXES else "video's last frames"
        prompt = wanted.get("prompt", "").strip() or start.prompt
        new = NewProject(name, f"own: {_clean(filename)}", prompt, start.frames, preset, {})
        return library.add(new), f"A new project starts from your {what}."


def _restore(library: Library, document: ClipDocument, name: str) -> tuple[Session, str]:
    """A project with the plan, the seed and the settings of an exported clip, ready to be generated anew."""
    frames, lost = document.start_frames, ""
    if frames is None:  # a clip of the command line from a picture of one's own, before such clips kept it
        frames, lost = resolve_start(None).frames, " Its start frame is not in it: another one stands in."
    preset = document.preset if document.preset in presets.names() else library.preset
    new = NewProject(name, document.start, document.prompt, frames, preset, document.settings)
    session = library.add(new)
    streams = {chunk.stream for chunk in document.chunks}
    rows = (chunk.plan if text_of(chunk.asked) is None else chunk.asked for chunk in document.chunks)
    lines = {index: row for index, row in enumerate(rows) if row}
    session.editor.restore(lines, streams.pop() if len(streams) == 1 else None)
    chunks = len(document.chunks)
    return session, f"The plan of {chunks} chunks is back, with its seed and settings: press Generate to make the frames.{lost}"


def _document(path: Path) -> ClipDocument | None:
    """The document inside a clip of ours; None for any other video. Raises InputError for one of ours that is damaged."""
    try:
        return read_document(path)
    except NoDocument:
        return None


def _suffix(head: bytes, name: str) -> str:
    """The suffix that fits the first bytes of a file; that of its name where they do not tell."""
    for start, suffix in _HEADS:
        if head.startswith(start):
            return suffix
    if head[:4] == b"RIFF":
        return {b"WEBP": ".webp", b"AVI ": ".avi"}.get(head[8:12], ".bin")
    if head[4:8] == b"ftyp":
        return ".avif" if head[8:12] in (b"avif", b"avis") else ".mp4"
    given = PurePath(name).suffix.lower()
    if given in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
        return given
    raise InputError("This file is no picture, no video, no exported clip and no project of TV2TV Studio: choose another.")


def _clean(filename: str) -> str:
    """A file name as a project's name: its last part without anything unprintable."""
    text = "".join(letter if letter.isprintable() else " " for letter in PurePath(filename.replace("\\", "/")).name)
    stem = " ".join(text.split())
    return stem[:60] or "Upload"


@contextmanager
def _stored(stream: BinaryIO, folder: Path, name: str) -> Iterator[Path]:
    """The upload as a file of ours beside the projects, called so that an error can name it; gone afterwards."""
    plain = re.sub(r"[^\w ()+-]", "_", PurePath(name).stem)
    with tempfile.TemporaryDirectory(prefix=".upload-", dir=folder) as scratch:
        path = Path(scratch) / (plain or "upload")
        try:
            with path.open("wb") as out:
                shutil.copyfileobj(stream, out, PIECE)
        except OSError as error:
            raise storage_error(Path("the upload"), error) from error
        if path.stat().st_size == 0:
            raise InputError("The file is empty (0 bytes): choose another.")
        yield path
