"""The document inside every exported clip: all that the clip was made from, written as data and read back with distrust.

It is the `tv2tv-clip` format of `media.clip`. What the studio adds there (asked lines, streams, own start frames) are
further keys, so clips from the command line and from the studio read alike.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np

from tv2tv_core.engine.generate import check_line
from tv2tv_core.engine.seeds import SEED_LIMIT
from tv2tv_core.errors import InputError
from tv2tv_core.media.atomic import shown
from tv2tv_core.media.captions import plain
from tv2tv_core.media.clip import CHUNK_FRAMES, FORMAT, FORMAT_VERSION, check_prompt
from tv2tv_core.media.images import check_file
from tv2tv_core.media.start_frames import pack_start, shipped_start, unpack_start
from tv2tv_core.media.video import MAX_VIDEO_BYTES, read_metadata
from tv2tv_core.settings import BY_NAME, Number, shorten, validate
from tv2tv_core.timeline import Source

MAX_DOCUMENT_BYTES = 16 * 2**20
MAX_CHUNKS = 20_000
"""More than an hour at four frames per chunk and 17.5 frames per second."""
MAX_SIDE = 4096
MAX_FRAMES = 512
MAX_START = 260
DEFAULT_STREAM = "main"
IN_ZIP = "document.json"
_SAMPLING = ("steps", "guidance", "temperature", "top_p")


class NoDocument(InputError, LookupError):
    """The file may be fine, but it is no clip of ours: there is nothing to restore."""


class ClipFacts(Protocol):
    """What a document needs to know about a clip; a project's info has it."""

    preset: str
    backend: str
    model_hash: str
    fps: Fraction
    chunk_frames: int
    width: int
    height: int
    prompt: str
    start: str
    settings: Mapping[str, Number]


class ChunkFacts(Protocol):
    """What a document needs to know about one generated chunk; a project's record has it.

    `line` is the text written right before the chunk by `source` (None: the plan in force went on); `asked` is what a
    person asked for here.
    """

    index: int
    line: str | None
    source: Source | None
    asked: str | None
    seed: int | None
    steps: int
    guidance: float
    temperature: float
    top_p: float
    stream: str


@dataclass(frozen=True)
class ClipLine:
    """One chunk of a clip read back: the plan line in force and its author, what was written right before the chunk (None:
    nothing new), what a person asked for, and the stream and seed of its random numbers."""

    plan: str
    author: Source | None
    line: str | None
    asked: str | None
    stream: str
    seed: int | None


@dataclass(frozen=True, eq=False)
class ClipDocument:
    """What a clip was made from. `settings` holds checked values by name, seed and seconds among them.

    `start` is a name for people and never a path. `start_frames` is uint8 THWC, also for starts that ship; None when the
    clip does not hold them (own footage in clips from before they were kept).
    """

    prompt: str
    start: str
    start_frames: np.ndarray | None = field(repr=False)
    preset: str
    backend: str
    model_hash: str
    settings: Mapping[str, Number]
    fps: Fraction
    size: tuple[int, int]
    take: str
    chunks: tuple[ClipLine, ...]

    @property
    def seed(self) -> int:
        """The project seed."""
        return int(self.settings["seed"])

    @property
    def stream(self) -> str | None:
        """The stream of random numbers that the clip ended in; None when it has no chunk."""
        return self.chunks[-1].stream if self.chunks else None

    @property
    def lines(self) -> dict[int, str]:
        """Chunk index → plan line in force: given as a person's lines, they lead to the same text again."""
        return {index: chunk.plan for index, chunk in enumerate(self.chunks) if chunk.plan}


def make_document(
    facts: ClipFacts, path: Sequence[ChunkFacts], take: str, start_frames: Callable[[], np.ndarray]
) -> dict[str, object]:
    """The document of a take: `path` is its chunks in order (the start chunk, index -1, is left out).

    `start_frames` loads the start chunk (uint8 THWC); it is kept in the document only when the start does not ship.
    """
    chunks = [chunk for chunk in path if chunk.index >= 0]
    start = plain(facts.start).replace("/", "-").replace("\\", "-")[:MAX_START]
    document = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "preset": facts.preset,
        "backend": facts.backend,
        "model_hash": facts.model_hash,
        "seed": facts.settings["seed"],
        "settings": dict(facts.settings),
        "start": start,
        "prompt": facts.prompt,
        "take": plain(take),
        "fps": float(facts.fps),
        "size": [facts.width, facts.height],
        "chunk_frames": facts.chunk_frames,
        "frames": len(chunks) * facts.chunk_frames,
        "seconds": round(float(len(chunks) * facts.chunk_frames / facts.fps), 6),
        "segments": [segment for chunk in chunks for segment in _segments(facts, chunk)],
    }
    pictures = pack_start(start, start_frames())
    return document | ({"start_frames": pictures} if pictures else {})


def read_document(path: str | Path) -> ClipDocument:
    """The document in an exported MP4, WebM or zip of frames, or in a JSON file beside a clip.

    Raises NoDocument when the file holds none, and InputError when it is missing, damaged, from a newer version, or has
    values that cannot be.
    """
    path = Path(path)
    check_file(path, MAX_VIDEO_BYTES)
    text = _text_in(path)
    if len(text) > MAX_DOCUMENT_BYTES:
        _refuse(path, f"its document has {len(text)} bytes; at most {MAX_DOCUMENT_BYTES} are allowed")
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        if f'"{FORMAT}"' not in text:
            raise _none_in(path) from error
        raise InputError(f"{_damaged(path)} its document is cut off or altered. Export the clip again.") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise _none_in(path)
    try:
        return _checked(value)
    except InputError as error:
        raise InputError(f"{shown(path.name)} cannot be restored: {error}") from error


def _segments(facts: ClipFacts, chunk: ChunkFacts) -> list[dict[str, object]]:
    """The text before a chunk, if there is any, and the chunk; what is as the document says is not said again."""
    told: dict[str, object] = {
        "type": "chunk",
        "index": chunk.index,
        "start_s": round(float(chunk.index * facts.chunk_frames / facts.fps), 6),
        "frames": facts.chunk_frames,
        "seed": chunk.seed,
    }
    if chunk.asked is not None:
        told["asked"] = chunk.asked
    if chunk.stream != DEFAULT_STREAM:
        told["stream"] = chunk.stream
    told |= {name: getattr(chunk, name) for name in _SAMPLING if getattr(chunk, name) != facts.settings.get(name)}
    if chunk.line is None:
        return [told]
    return [{"type": "text", "text": chunk.line, "source": chunk.source}, told]


def _text_in(path: Path) -> str:
    """The text that should be the document."""
    with path.open("rb") as handle:
        head = handle.read(4)
    if head == b"PK\x03\x04":
        return _text_in_zip(path)
    if path.suffix.lower() == ".json":
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise _none_in(path)
        return path.read_bytes().decode("utf-8", "replace")
    tags = {name.lower(): text for name, text in read_metadata(path).items()}  # WebM writes them in capitals
    if "comment" not in tags:
        raise _none_in(path)
    return tags["comment"]


def _text_in_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            if IN_ZIP not in archive.namelist():
                raise _none_in(path)
            with archive.open(IN_ZIP) as entry:
                # One byte more than allowed shows that there is more, however much that would be.
                return entry.read(MAX_DOCUMENT_BYTES + 1).decode("utf-8", "replace")
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{_damaged(path)} the archive cannot be read. Export the clip again.") from error


def _checked(value: dict[str, object]) -> ClipDocument:
    """A document whose every value can be what it says. Raises InputError that names the first one that cannot."""
    version = value.get("version")
    if type(version) is not int or version < 1:
        raise InputError(f"its version is {shorten(version)}; a whole number from 1 is needed.")
    if version > FORMAT_VERSION:
        raise InputError(f"a newer TV2TV Studio made it (format {version}; this one reads up to {FORMAT_VERSION}): update it.")
    width, height = _list(value, "size", 2) or (0, 0)
    fps, frames = value.get("fps"), value.get("chunk_frames", CHUNK_FRAMES)
    if not all(type(side) is int and 1 <= side <= MAX_SIDE for side in (width, height)):
        raise InputError(f"its size is {shorten(value.get('size'))}; allowed are two numbers from 1 to {MAX_SIDE}.")
    if type(fps) not in (int, float) or not 1 <= fps <= 240:
        raise InputError(f"its frame rate is {shorten(fps)}; allowed is a number from 1 to 240.")
    if type(frames) is not int or not 1 <= frames <= MAX_FRAMES:
        raise InputError(f"its chunks have {shorten(frames)} frames; allowed is a whole number from 1 to {MAX_FRAMES}.")
    pictures, start = _list(value, "start_frames", MAX_FRAMES), _word(value, "start", MAX_START)
    if "/" in start or "\\" in start:
        raise InputError(f"its start is {shorten(start)}; a name is allowed, a path is not.")
    return ClipDocument(
        prompt=check_prompt(_word(value, "prompt", 10_000)),
        start=start,
        start_frames=unpack_start(pictures, frames, (width, height)) if pictures else shipped_start(start, (width, height)),
        preset=_word(value, "preset", 200),
        backend=_word(value, "backend", 200),
        model_hash=_word(value, "model_hash", 128),
        settings=_settings(value),
        fps=Fraction(fps).limit_denominator(1001),
        size=(width, height),
        take=_word(value, "take", 200) if "take" in value else "",
        chunks=_chunks(_list(value, "segments", 2 * MAX_CHUNKS)),
    )


def _settings(value: dict[str, object]) -> dict[str, Number]:
    """The known settings of a document, complete; names that this version does not know are left out."""
    found = value.get("settings", {})
    if not isinstance(found, dict):
        raise InputError("its settings are no table of values.")
    given = {**found, "seed": value.get("seed", found.get("seed", 0))}
    return {name: validate(name, given.get(name, row.default)) for name, row in BY_NAME.items()}


def _chunks(segments: Sequence[object]) -> tuple[ClipLine, ...]:
    """The chunks of a document in order, each with the text before it."""
    found: list[ClipLine] = []
    plan, author, line, source = "", None, None, None
    for segment in segments:
        if not isinstance(segment, dict) or segment.get("type") not in ("text", "chunk"):
            raise InputError("one of its segments is neither text nor a chunk.")
        if segment["type"] == "text":
            line, source = check_line(_word(segment, "text", 10_000), "A plan line in it"), segment.get("source")
            if source not in ("model", "person"):
                raise InputError(f"a line in it was written by {shorten(source)}; allowed are model and person.")
            plan, author = line, source
            continue
        if segment.get("index") != len(found) or len(found) >= MAX_CHUNKS:
            raise InputError(f"chunk {shorten(segment.get('index'))} follows {len(found)} chunks in it.")
        asked = check_line(_word(segment, "asked", 10_000), "A plan line in it") if "asked" in segment else None
        # Clips from the command line do not say what was asked: whatever a person wrote was.
        asked = line if asked is None and source == "person" else asked
        stream = _word(segment, "stream", 64) if "stream" in segment else DEFAULT_STREAM
        found.append(ClipLine(plan, author, line, asked or None, stream, _seed(segment.get("seed"))))
        line = source = None
    return tuple(found)


def _seed(seed: object) -> int | None:
    if seed is not None and (type(seed) is not int or not 0 <= seed < SEED_LIMIT):
        raise InputError(f"a seed in it is {shorten(seed)}; allowed is a whole number from 0 to 2^63 - 1.")
    return seed


def _word(value: Mapping[str, object], name: str, most: int) -> str:
    found = value.get(name)
    if not isinstance(found, str) or len(found) > most or not found.isprintable():
        raise InputError(f"its {name} is {shorten(found)}; allowed is plain text of at most {most} characters.")
    return found


def _list(value: Mapping[str, object], name: str, most: int) -> list[object]:
    found = value.get(name, [])
    if not isinstance(found, list) or len(found) > most:
        raise InputError(f"its {name} are no list of at most {most}.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _none_in(path: Path) -> NoDocument:
    return NoDocument(f"{shown(path.name)} holds no TV2TV clip: choose a file that TV2TV Studio exported.")


def _damaged(path: Path) -> str:
    return f"{shown(path.name)} is damaged:"


def _refuse(path: Path, why: str) -> NoReturn:
    raise InputError(f"{shown(path.name)} cannot be restored: {why}.")
