"""The values that a project file keeps besides pictures; each refuses fields that cannot be, wherever they come from."""

from __future__ import annotations

import base64
import json
import math
import re
import sqlite3
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Literal

from tv2tv_core.engine.generate import check_line
from tv2tv_core.engine.seeds import SEED_LIMIT
from tv2tv_core.errors import InputError
from tv2tv_core.settings import resolve, shorten
from tv2tv_core.story import check_name, is_id
from tv2tv_core.timeline import Source

MAX_PROJECT_NAME = 120
MAX_PROMPT = 10_000
MAX_SIDE = 8192
MAX_CHUNK_FRAMES = 256
MAX_COUNT = 2**31
_SURROGATE = re.compile("[\ud800-\udfff]")  # halves of a letter, which no file can keep
_PENDING = ("take", "chunks", "total", "reason")


@dataclass(frozen=True)
class ProjectInfo:
    """What a project is. `start` names the start frame for the record, `settings` has every row of the settings table.

    `id` is 16 hexadecimal digits, `created` an ISO time. Raises InputError for fields that cannot be.
    """

    id: str
    name: str
    created: str
    preset: str
    backend: str
    model_hash: str
    fps: Fraction
    chunk_frames: int
    width: int
    height: int
    prompt: str
    start: str
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        _require(is_id(self.id), "id", self.id)
        object.__setattr__(self, "name", check_name(self.name, "The project's name", MAX_PROJECT_NAME))
        for label in ("created", "preset", "backend", "model_hash", "start"):
            _text(label, getattr(self, label), 1000)
        _text("prompt", self.prompt, MAX_PROMPT)
        _require(isinstance(self.fps, Fraction) and Fraction(1, 100) <= self.fps <= 1000, "fps", self.fps)
        for label, most in (("chunk_frames", MAX_CHUNK_FRAMES), ("width", MAX_SIDE), ("height", MAX_SIDE)):
            _whole(label, getattr(self, label), 1, most)
        _require(isinstance(self.settings, dict), "settings", self.settings)
        object.__setattr__(self, "settings", resolve(self.settings).as_dict())

    def duration(self, chunks: int) -> float:
        """Seconds that this many chunks play."""
        return float(chunks * self.chunk_frames / self.fps)


@dataclass(frozen=True)
class ChunkRecord:
    """How one chunk came to be; the start chunk has index -1, no parent and no seed.

    `line`, `source`: the text segment right before this chunk, None where the plan in force went on; `plan` is the line
    in force. `asked`: a person's line for this chunk, even when it equals the plan in force, or the intent that stands
    before it (`tv2tv_core.intent`). `stream` names the random numbers, `seconds` is the engine's time,
    `created` an ISO time. Raises InputError for fields that cannot be.
    """

    id: str
    parent: str | None
    index: int
    line: str | None
    source: Source | None
    plan: str
    asked: str | None
    seed: int | None
    steps: int
    guidance: float
    temperature: float
    top_p: float
    stream: str
    seconds: float
    model_hash: str
    created: str

    def __post_init__(self) -> None:
        root = self.index == -1
        _require(is_id(self.id), "id", self.id)
        _require(self.parent is None if root else is_id(self.parent), "parent", self.parent)
        _whole("index", self.index, -1, MAX_COUNT)
        _require((self.source is None) if self.line is None else self.source in ("model", "person"), "source", self.source)
        for label in ("line", "plan", "asked"):
            value = getattr(self, label)
            if value is not None or label == "plan":
                _text(label, value, 1000)
                check_line(value, f"The text '{label}' of a chunk")
        _require(not root or (self.line is None and self.plan == "" and self.seed is None), "start chunk", self.plan)
        if self.seed is not None:
            _whole("seed", self.seed, 0, SEED_LIMIT - 1)
        _whole("steps", self.steps, 0, MAX_COUNT)
        for label in ("guidance", "temperature", "top_p", "seconds"):
            value = getattr(self, label)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            _require(number and math.isfinite(value) and value >= 0, label, value)
        for label in ("stream", "model_hash", "created"):
            _text(label, getattr(self, label), 1000)


@dataclass(frozen=True)
class Pending:
    """Work that was asked for and is not done: `chunks` of `total` are left to make on a take.

    target: the frame that a bridge leads to, as the bytes of a PNG.
    """

    take: str
    chunks: int
    total: int
    reason: Literal["generate", "drive", "bridge"]
    target: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _require(is_id(self.take), "take", self.take)
        _whole("total", self.total, 1, MAX_COUNT)
        _whole("chunks", self.chunks, 0, self.total)
        _require(self.reason in ("generate", "drive", "bridge"), "reason", self.reason)
        _require(self.target is None or (isinstance(self.target, bytes) and self.reason == "bridge"), "target", self.target)

    @property
    def lasts(self) -> bool:
        """Whether it can go on in a studio that starts anew: of a drive nobody is at the keys any more."""
        return self.reason == "generate" or self.target is not None


@dataclass(frozen=True)
class ProjectSummary:
    """A project for a list: `updated` is an ISO time, `chunks` and `seconds` count the take shown, `thumb` is a chunk id."""

    id: str
    name: str
    updated: str
    chunks: int
    seconds: float
    thumb: str


def now() -> str:
    """The time as ISO text in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def dump(value: object) -> str:
    """Plain data as JSON text."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def put(db: sqlite3.Connection, key: str, value: object) -> None:
    """Replace one value of a project file's description."""
    db.execute("UPDATE project SET value = ? WHERE key = ?", (dump(value), key))


def parse(text: object) -> Any:
    """What `dump` wrote. Raises InputError for anything that is not JSON text."""
    try:
        if isinstance(text, str):
            return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("A value in the project is no JSON text: use a copy of the project.") from error
    raise InputError("A value in the project is missing or no text: use a copy of the project.")


def info_to_json(info: ProjectInfo) -> dict[str, Any]:
    """A ProjectInfo in plain types."""
    return {field.name: getattr(info, field.name) for field in fields(ProjectInfo)} | {"fps": str(info.fps)}


def info_from_json(data: object) -> ProjectInfo:
    """What `info_to_json` wrote; InputError for anything else."""
    _require(isinstance(data, dict) and set(data) == {field.name for field in fields(ProjectInfo)}, "description", data)
    try:
        # The length first: a fraction of a million digits would take minutes.
        fps = Fraction(data["fps"]) if isinstance(data["fps"], str) and len(data["fps"]) <= 40 else None
    except (ValueError, ZeroDivisionError):
        fps = None
    return ProjectInfo(**data | {"fps": fps})


def pending_to_json(pending: Pending | None) -> dict[str, Any] | None:
    """A Pending, or nothing, in plain types."""
    if pending is None:
        return None
    told = {name: getattr(pending, name) for name in _PENDING}
    return told if pending.target is None else told | {"target": base64.b64encode(pending.target).decode()}


def pending_from_json(data: object) -> Pending | None:
    """What `pending_to_json` wrote; InputError for anything else."""
    if data is None:
        return None
    _require(isinstance(data, dict) and set(data) - {"target"} == set(_PENDING), "work left", data)
    if "target" not in data:
        return Pending(**data)
    try:
        target = base64.b64decode(data["target"], validate=True)
    except (TypeError, ValueError):
        target = None
    _require(target is not None, "target", data["target"])
    return Pending(**data | {"target": target})


def _require(holds: bool, label: str, value: object) -> None:
    if not holds:
        raise InputError(f"The {label} in the project is {shorten(value)}, which cannot be. Use a copy of the project.")


def _whole(label: str, value: object, least: int, most: int) -> None:
    _require(isinstance(value, int) and not isinstance(value, bool) and least <= value <= most, label, value)


def _text(label: str, value: object, limit: int) -> None:
    fits = isinstance(value, str) and len(value) <= limit and "\0" not in value
    _require(fits and (value.isascii() or _SURROGATE.search(value) is None), label, value)
