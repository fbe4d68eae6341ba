"""A clip as a file for elsewhere: video, GIF, stills, storyboard sheet or captions, whole or not at all."""

from __future__ import annotations

import json
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import Image

from tv2tv_core.errors import InputError
from tv2tv_core.media.atomic import atomic_file
from tv2tv_core.media.captions import Cue, cues, cues_of_two, plain, to_srt, to_vtt
from tv2tv_core.media.clip_view import ClipView, FrameReader
from tv2tv_core.media.composition import captioned, lettered, pictures, side_by_side
from tv2tv_core.media.delivery import Delivery, deliver
from tv2tv_core.media.encode import MP4, WEBM, Extras, enlarge, write_gif, write_video
from tv2tv_core.media.storyboard import DPI, page_count, pages
from tv2tv_core.settings import shorten

ExportKind = Literal["mp4", "gif", "webm", "png", "sheet", "srt", "vtt", "side-by-side"]
Captions = Literal["none", "burned", "soft"]
DELIVERED = ("mp4", "webm", "gif", "png")
MAX_SCALE = 8
MAX_NAME = 60
"""Longest suggested file name in letters, ending included."""
_ENDINGS = {"png": "-frames.zip", "side-by-side": "-side-by-side.mp4"}
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")  # names that Windows keeps for devices
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same clip gives the same bytes

Progress = Callable[[int, int], None]
Check = Callable[[], None]


@dataclass(frozen=True)
class ExportRequest:
    """What to write. `scale` (1 to 8) enlarges frames; captions: drawn into them ("burned") or as a track ("soft").

    `fps_factor` (1, 2, 4): times as many frames a second. `sharpen` (1, 2, 4): so much of `scale` is drawn by a network,
    the rest is plain enlarging; scale must be a multiple of it. `speed` (0.25 to 4): slow motion or fast, see `Delivery`.
    These three are for mp4, webm, gif and png. Raises InputError for values that are not allowed.
    """

    kind: ExportKind
    captions: Captions = "none"
    scale: int = 4
    fps_factor: int = 1
    sharpen: int = 1
    speed: float = 1

    def __post_init__(self) -> None:
        for name, allowed in (("kind", get_args(ExportKind)), ("captions", get_args(Captions))):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {shorten(getattr(self, name))}; allowed are {', '.join(allowed)}.")
        if type(self.scale) is not int or not 1 <= self.scale <= MAX_SCALE:
            raise InputError(f"scale is {shorten(self.scale)}; allowed is a whole number from 1 to {MAX_SCALE}.")
        if self.kind == "gif" and self.captions == "soft":
            raise InputError("A GIF has no caption track: choose burned-in captions or none, or export MP4.")
        if not self.delivery.plain and self.kind not in DELIVERED:
            only = ", ".join(DELIVERED)
            raise InputError(f"Smooth, Sharpen and Speed are for {only}, not for {self.kind}: leave them as they are.")
        if self.scale % self.sharpen:
            raise InputError(f"scale is {self.scale} and sharpen {self.sharpen}; scale must be a multiple of sharpen.")

    @property
    def delivery(self) -> Delivery:
        """The stages that frames go through. Raises InputError."""
        return Delivery(self.fps_factor, self.sharpen, self.speed)


def export(
    view: ClipView,
    request: ExportRequest,
    out: Path,
    progress: Progress = lambda done, total: None,
    check: Check = lambda: None,
    other: ClipView | None = None,
) -> Path:
    """Write the clip at `out` as `request` says; a file that was there stays until the new one is whole. Returns `out`.

    `progress(done, total)` counts frames (pages for a sheet); `check` is called between frames and raises Cancelled to
    stop, which leaves nothing behind. `other` is the second take of a side-by-side. Raises InputError for what cannot
    be exported and StorageError when the disk refuses.
    """
    if not view.chunks or (other is not None and not other.chunks):
        raise InputError("There is nothing to export yet: generate at least one chunk first.")
    if (request.kind == "side-by-side") != (other is not None):
        raise InputError("Side by side needs two takes, and nothing else does: choose a second take.")
    check()
    _WRITERS[request.kind](_Job(view, request, Path(out), progress, check, other))
    return Path(out)


def suggest_name(view: ClipView, kind: ExportKind) -> str:
    """A file name for this export: letters a-z, digits and hyphens from the clip's name, at most 60 with the ending."""
    ending = _ENDINGS.get(kind, f".{kind}")
    if kind == "sheet":
        ending = "-storyboard.png" if page_count(view) == 1 else "-storyboard.pdf"
    letters = unicodedata.normalize("NFKD", view.name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")
    if not slug or _RESERVED.fullmatch(slug):
        slug = f"clip-{slug}".strip("-")
    return slug[: MAX_NAME - len(ending)].strip("-") + ending


@dataclass(frozen=True, eq=False)
class _Job:
    """One export with everything it needs."""

    view: ClipView
    request: ExportRequest
    out: Path
    progress: Progress
    check: Check
    other: ClipView | None

    @property
    def total(self) -> int:
        """Pictures in the file."""
        if self.other is not None:
            return max(self.view.frames, self.other.frames)
        return self.request.delivery.count(self.view.frames)

    @property
    def fps(self) -> Fraction:
        """Pictures a second in the file."""
        return self.view.fps * self.request.fps_factor

    @property
    def document(self) -> dict[str, object]:
        """What the file says about itself: the clip's document, and what was done to its frames."""
        view, delivery = self.view, self.request.delivery
        if delivery.plain:
            return view.document
        return view.document | {"delivery": delivery.record(view.frames, view.fps, (view.width, view.height))}

    def frames(self) -> Iterator[np.ndarray]:
        """The pictures of the file."""
        view, scale, burned = self.view, self.request.scale, self.request.captions == "burned"
        if self.other is not None:
            return side_by_side(view, self.other, scale, burned)
        if self.request.delivery.plain:
            return captioned(view, scale) if burned else pictures(view, scale)
        made = deliver(FrameReader(view), self.request.delivery, view.fps)
        large = (enlarge(frame, scale // self.request.sharpen) for frame in made)
        size = (view.width * scale, view.height * scale)
        return lettered(large, self._told(), size, self.total, self.fps) if burned else large

    def watched(self, first: int = 0, total: int | None = None) -> Iterator[np.ndarray]:
        """The pictures, with `check` before each and the progress after each chunk of them."""
        return self.told(self.frames(), first, total or self.total, self.total)

    def told(self, pictures: Iterator[np.ndarray], first: int, total: int, count: int) -> Iterator[np.ndarray]:
        """`count` pictures passed on with `check` and progress: they are number `first` and on of `total`."""
        for number, picture in enumerate(pictures, 1):
            self.check()
            yield picture
            if number % self.view.chunk_frames == 0 or number == count:
                self.progress(first + number, total)

    def cues(self) -> list[Cue]:
        """The captions of the file when it has a track for them."""
        if self.request.captions != "soft":
            return []
        return self._told() if self.other is None else cues_of_two(self.view, self.other)

    def _told(self) -> list[Cue]:
        """The captions on the clock of the file, which ends with the last true frame."""
        place, total = self.request.delivery.place, self.total
        told = [Cue(place(cue.start), min(place(cue.end), total), cue.text) for cue in cues(self.view)]
        return [cue for cue in told if cue.start < cue.end]  # fast, a short line may fall between two pictures


def _write_video(job: _Job) -> None:
    kind = WEBM if job.request.kind == "webm" else MP4
    if job.view.width * job.request.scale % 2 or job.view.height * job.request.scale % 2:
        raise InputError("Video needs an even number of pixels on both sides: choose an even scale.")
    tags = {"title": plain(str(job.view.document.get("prompt", job.view.name))), "comment": _json(job.document)}
    write_video(job.out, kind, job.watched(), job.fps, Extras(tags, job.cues()), job.check)


def _write_gif(job: _Job) -> None:
    plain_frames, total = job.view.frames, job.view.frames + job.total

    def look() -> Iterator[np.ndarray]:
        # The colours are found in plain frames: the networks hardly change them, and would have to run twice.
        seen = job.frames() if job.request.delivery.plain else pictures(job.view, 1)
        return job.told(seen, 0, total, plain_frames)

    passes = iter((look, lambda: job.watched(plain_frames, total)))
    write_gif(job.out, lambda: next(passes)(), job.fps, job.check)


def _write_stills(job: _Job) -> None:
    texts = {
        "plan.txt": "".join(f"{plain(chunk.plan)}\n" for chunk in job.view.chunks),
        "document.json": _json(job.document, indent=2) + "\n",
    }
    if job.request.captions == "soft":
        told = job.cues()
        texts |= {"captions.srt": to_srt(told, job.fps), "captions.vtt": to_vtt(told, job.fps)}
    with atomic_file(job.out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, text in texts.items():
            archive.writestr(_entry(name, zipfile.ZIP_DEFLATED), text)
        for number, picture in enumerate(job.watched(), 1):
            _, data = cv2.imencode(".png", picture[..., ::-1])
            archive.writestr(_entry(f"frame_{number:05d}.png", zipfile.ZIP_STORED), data.tobytes())


def _write_sheet(job: _Job) -> None:
    count = page_count(job.view)
    as_pdf = job.out.suffix.lower() == ".pdf"
    if count > 1 and not as_pdf:
        raise InputError(f"This storyboard has {count} pages: choose a name that ends in .pdf.")
    with atomic_file(job.out) as temporary:
        for number, page in enumerate(pages(job.view), 1):
            job.check()
            image = Image.fromarray(page)
            if as_pdf:
                # Page by page, so that only one is in memory.
                image.save(temporary, "PDF", resolution=DPI, quality=93, append=number > 1, title=plain(job.view.name))
            else:
                image.save(temporary, format="PNG", dpi=(DPI, DPI))
            job.progress(number, count)


def _write_captions(job: _Job) -> None:
    write = to_srt if job.request.kind == "srt" else to_vtt
    text = write(cues(job.view), job.view.fps)
    with atomic_file(job.out) as temporary:
        temporary.write_bytes(text.encode("utf-8", "replace"))
    job.progress(job.total, job.total)


_WRITERS: dict[str, Callable[[_Job], None]] = {
    "mp4": _write_video,
    "webm": _write_video,
    "side-by-side": _write_video,
    "gif": _write_gif,
    "png": _write_stills,
    "sheet": _write_sheet,
    "srt": _write_captions,
    "vtt": _write_captions,
}


def _entry(name: str, compression: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ZIP_DATE)
    entry.compress_type = compression
    return entry


def _json(document: dict[str, object], indent: int | None = None) -> str:
    # A lone half of a surrogate pair has no UTF-8; as an escape it is still the same JSON.
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
