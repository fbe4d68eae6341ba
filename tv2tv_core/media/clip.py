"""One clip from one request: everything is checked first, then the model runs, then MP4 and JSON appear together."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from tv2tv_core.engine.backend import Backend, BackendSpec
from tv2tv_core.engine.control import Control
from tv2tv_core.engine.events import Event, Finished
from tv2tv_core.engine.generate import GenerateRequest, check_line, generate
from tv2tv_core.errors import Cancelled, InputError, TV2TVError
from tv2tv_core.intent import row
from tv2tv_core.media.atomic import atomic_file, check_writable, shown
from tv2tv_core.media.captions import plain
from tv2tv_core.media.delivery import Delivery, deliver, shipped
from tv2tv_core.media.images import IMAGE_SUFFIXES, check_file, fit_frame, load_image
from tv2tv_core.media.start_frames import pack_start
from tv2tv_core.media.video import VIDEO_SUFFIXES, read_frames, write_mp4
from tv2tv_core.presets import Preset
from tv2tv_core.settings import GenerationSettings, resolve, setting, shorten
from tv2tv_core.timeline import ChunkSegment, History, IntentSegment, TextSegment

FORMAT, FORMAT_VERSION = "tv2tv-clip", 1
MAX_PROMPT = 500
MAX_PLAN_BYTES = 2**20
SCALE = 4
"""Frames are enlarged for the file: 160x96 is a stamp on today's screens."""
WIDE = 1280
"""Pixels of width that are enough: larger frames are enlarged less, or not at all."""
FPS, CHUNK_FRAMES = Fraction(35, 2), 4
"""The clock of the arena. It lets a request be checked before a backend is loaded; the file follows the backend's."""
OWN_FOOTAGE = "a first-person shooter clip in a base"
"""The prompt for a person's own picture when they write none: general words of the kind that training used."""
OWN_VIDEO = "a video"
"""The same for a pretrained model."""
TEXT_ALONE = "text alone"
"""What a start is called when there is no picture to start from."""
NOTHING_SEEN = 127
"""The grey of a start frame that stands for none; pretrained models take a start of one flat colour for that."""


@dataclass(frozen=True)
class ClipRequest:
    """What to make and where.

    `start`: the name of a start frame that ships, an image (repeated), a video (its last frames), or None for the first
    name. `prompt`: what the clip is; None takes the start's own. `plan`: a text file or lines, one per chunk; the model
    writes empty lines and those after the last. `intent`: what the clip begins with, as an intent (`tv2tv_core.intent`); a
    plan holds further ones where lines could stand. `settings`: overrides of the preset by name (`seconds`, `seed`,
    `steps` …), None or absent = not given; without `seconds` the clip is as long as its plan, or 4 s. `delivery`: the
    stages that the generated frames go through on their way into the MP4.
    """

    preset: Preset
    out: Path
    start: str | None = None
    prompt: str | None = None
    plan: Path | Sequence[str] | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    delivery: Delivery = field(default_factory=Delivery)
    intent: str | None = None


@dataclass(frozen=True, eq=False)
class ClipResult:
    """What was made: both files, frames in the MP4, its seconds, and the whole history with the start chunk."""

    out: Path
    json_path: Path
    frames: int
    seconds: float
    history: History


@dataclass(frozen=True, eq=False)
class Start:
    """Where a clip starts: a name for the record, uint8 THWC frames of any size, and a prompt that suits them."""

    name: str
    frames: np.ndarray
    prompt: str


@dataclass(frozen=True, eq=False)
class _Checked:
    """A request after every check: nothing in it can fail any more for what the person gave."""

    settings: GenerationSettings
    start: Start
    prompt: str
    plan: tuple[str, ...]
    seconds: float


def make_clip(
    request: ClipRequest,
    on_event: Callable[[Event], None] = lambda event: None,
    control: Control | None = None,
    load: Callable[[Preset], Backend] | None = None,
) -> ClipResult:
    """Generate the clip and write FILE.mp4 and FILE.json; both hold generated frames only, not the start chunk.

    The clip has round(seconds x fps / chunk frames) chunks, so 4 s are 18 chunks = 72 frames. A clip that the model
    ends or `control` pauses early is written as far as it came. Nothing is written when this raises: InputError and
    StorageError before the model is loaded where possible, Cancelled through `control`, KeyboardInterrupt on Ctrl-C.
    `load` replaces the loading of the preset's backend.
    """
    checked = _check(request)
    if request.delivery.draws:
        shipped()  # missing weights are told now, not after the clip
    backend = (load or _load)(request.preset)
    spec = backend.spec
    chunks = chunk_count(checked.seconds, spec.fps, spec.chunk_frames)
    frames = np.stack([fit_frame(frame, spec.width, spec.height) for frame in checked.start.frames])
    settings = checked.settings
    generation = GenerateRequest(
        backend,
        backend.begin(checked.prompt, frames),
        chunks,
        plan=checked.plan,
        seed=settings.seed,
        steps=settings.steps,
        guidance=settings.guidance,
        temperature=settings.temperature,
        top_p=settings.top_p,
    )
    history = _run(generation, on_event, control or Control())
    return _write(request, checked, spec, history)


def chunk_count(seconds: float, fps: Fraction, chunk_frames: int) -> int:
    """How many chunks come nearest to `seconds`, at least one."""
    return max(1, math.floor(seconds * fps / chunk_frames + 0.5))


def resolve_start(start: str | None, preset: Preset | None = None) -> Start:
    """The start frames called or stored at `start` (None: the first one that ships).

    Of a video come as many of its last frames as a chunk of `preset` has (None: of a native model), at its frame rate.
    Raises InputError for an unknown name and for files that are missing, of unknown kind, unreadable or too large.
    """
    if start is not None and (suffix := Path(start).suffix.lower()):
        return _start_from_file(Path(start), suffix, preset)
    from tv2tv_core.data.starts import list_starts, load_start

    names = list_starts()
    if start is None and not names:
        raise InputError("No start frame ships with this copy: give an image or a video with --start.")
    name = names[0] if start is None else start
    if name not in names:
        raise InputError(f"There is no start frame {shorten(name)}. Names are: {', '.join(names)}; or give a file.")
    shipped = load_start(name)
    return Start(name, shipped.frames, shipped.meta_prompt)


def check_prompt(prompt: str) -> str:
    """`prompt` without outer blanks. Raises InputError when it is empty, above 500 characters or not plain text."""
    text = prompt.strip()
    if not text:
        raise InputError("The prompt is empty: write what the clip is, or leave it out to use that of the start frame.")
    if len(text) > MAX_PROMPT:
        raise InputError(f"The prompt has {len(text)} characters; at most {MAX_PROMPT} are allowed. Shorten it.")
    if not text.isprintable():
        raise InputError("The prompt holds control characters or line breaks: write plain words on one line.")
    return text


def read_plan(path: Path) -> tuple[str, ...]:
    """The lines of a plan file, one per chunk; an empty line is left to the model.

    Raises InputError when the file is missing, empty, above 1 MB, not UTF-8 text, or has a line that cannot be one.
    """
    check_file(path, MAX_PLAN_BYTES)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{shown(path.name)} is not a text file (UTF-8): write one plan line per chunk, such as 'run forward'."
        ) from error
    lines = text.split("\n")
    # The line break at the end of a file ends its last line and begins no new one.
    return check_plan(lines[:-1] if lines[-1] == "" else lines, shown(path.name))


def check_plan(lines: Sequence[str], name: str = "The plan") -> tuple[str, ...]:
    """Every line checked and without outer blanks. Raises InputError with the number of the first bad line."""
    return tuple(check_line(line, f"Line {number} of {name}") for number, line in enumerate(lines, 1))


def segments(history: History, spec: BackendSpec) -> list[dict[str, object]]:
    """The interleaved segments after the start chunk, in order, as plain data; times in seconds from frame 0."""
    found: list[dict[str, object]] = []
    asked: dict[str, object] = {}
    for segment in history:
        if isinstance(segment, TextSegment):
            found.append({"type": "text", "text": segment.text, "source": segment.source})
        elif isinstance(segment, IntentSegment):
            asked = {"asked": row(segment.text)}
        elif segment.index >= 0:
            found.append(
                {
                    "type": "chunk",
                    "index": segment.index,
                    "start_s": round(float(segment.index * spec.chunk_frames / spec.fps), 6),
                    "frames": len(segment.frames),
                    "seed": segment.seed,
                    **asked,
                }
            )
            asked = {}
    return found


def _load(preset: Preset) -> Backend:
    # Only here: it brings the model and its libraries along.
    from tv2tv_core.engine.load import load_backend

    return load_backend(preset)


def _check(request: ClipRequest) -> _Checked:
    _check_out(request.out)
    settings = resolve(request.preset.settings, request.settings)
    plan: tuple[str, ...] = ()
    if isinstance(request.plan, Path):
        plan = read_plan(request.plan)
    elif request.plan is not None:
        plan = check_plan(request.plan)
    seconds = _check_length(settings.seconds, len(plan), request.settings.get("seconds") is not None)
    if request.intent is not None:
        if plan and plan[0]:
            raise InputError("The plan writes the first line itself: leave that line empty, or leave the intent out.")
        plan = (check_line(row(request.intent), "The intent"), *plan[1:])
    prompt = None if request.prompt is None else check_prompt(request.prompt)
    start = resolve_start(request.start, request.preset)
    return _Checked(settings, start, start.prompt if prompt is None else prompt, plan, seconds)


def _check_length(seconds: float, lines: int, given: bool) -> float:
    """The length of the clip in seconds: as given, or that of the plan when only a plan was given."""
    limits, plan_s = setting("seconds"), float(lines * CHUNK_FRAMES / FPS)
    most = chunk_count(limits.maximum, FPS, CHUNK_FRAMES)
    if lines > most:
        raise InputError(f"The plan has {lines} lines; at most {most} ({limits.maximum:g} s) are allowed. Shorten it.")
    if lines and not given:
        return max(limits.minimum, plan_s)
    chunks = chunk_count(seconds, FPS, CHUNK_FRAMES)
    if lines > chunks:
        raise InputError(
            f"The plan has {lines} lines, but {seconds:g} s are {chunks} chunks: "
            f"shorten the plan or ask for {math.ceil(10 * plan_s) / 10:g} seconds."
        )
    return seconds


def _check_out(out: Path) -> None:
    if os.path.isdir(out):
        raise InputError(f"{shown(out)} is a folder: give the name of an .mp4 file in it.")
    if out.suffix.lower() != ".mp4":
        raise InputError(f"The clip is written as MP4, not as {shorten(out.name)}: choose a name that ends in .mp4.")
    check_writable(out)
    check_writable(out.with_suffix(".json"))


def _start_from_file(path: Path, suffix: str, preset: Preset | None) -> Start:
    recipe = None if preset is None else preset.recipe
    count, fps = (CHUNK_FRAMES, FPS) if recipe is None else (recipe.chunk_frames, recipe.fps)
    if suffix in IMAGE_SUFFIXES:
        frames = np.repeat(load_image(path)[None], CHUNK_FRAMES, axis=0)
    elif suffix in VIDEO_SUFFIXES:
        found = read_frames(path, count, from_end=True, fps=fps)
        missing = max(0, CHUNK_FRAMES - len(found))
        frames = np.concatenate([np.repeat(found[:1], missing, axis=0), found])
    else:
        known = " ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
        raise InputError(f"{shorten(path.name)} is of no known kind: give an image or a video ({known}).")
    return Start(path.name, frames, OWN_FOOTAGE if recipe is None else OWN_VIDEO)


def _run(generation: GenerateRequest, on_event: Callable[[Event], None], control: Control) -> History:
    end: Finished | None = None
    for event in generate(generation, control):
        on_event(event)
        if isinstance(event, Finished):
            end = event
    if end is None or end.reason == "cancelled":
        raise Cancelled("Stopped before the clip was complete; nothing was written.")
    if end.history.segment is generation.history.segment:
        raise TV2TVError("The clip ended before its first frame; nothing was written. Try another seed or a plan.")
    return end.history


def _write(request: ClipRequest, checked: _Checked, spec: BackendSpec, history: History) -> ClipResult:
    chunks: list[ChunkSegment] = [chunk for chunk in history.chunks if chunk.index >= 0]
    frames = sum(len(chunk.frames) for chunk in chunks)
    out, json_path = request.out, request.out.with_suffix(".json")
    delivery = request.delivery
    fps, seconds = spec.fps * delivery.fps_factor, float(frames / spec.fps)
    document: dict[str, object] = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "preset": request.preset.name,
        "backend": spec.name,
        "model_hash": spec.model_hash,
        "seed": checked.settings.seed,
        "settings": checked.settings.as_dict() | {"seconds": checked.seconds},
        "start": plain(checked.start.name),
        "prompt": checked.prompt,
        "fps": float(spec.fps),
        "size": [spec.width, spec.height],
        "frames": frames,
        "seconds": round(seconds, 6),
        "segments": segments(history, spec),
    }
    # A clip from own footage can be restored only when the footage comes along.
    if pictures := pack_start(checked.start.name, history.chunks[0].frames):
        document["start_frames"] = pictures
    if not delivery.plain:
        document["delivery"] = delivery.record(frames, spec.fps, (spec.width, spec.height))
    pictures = deliver((frame for chunk in chunks for frame in chunk.frames), delivery, spec.fps)
    metadata = {"title": checked.prompt, "comment": json.dumps(document, ensure_ascii=False)}
    with atomic_file(json_path) as temporary:
        temporary.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        scale = max(1, min(SCALE, WIDE // spec.width) // delivery.sharpen)
        written = write_mp4(out, (picture[None] for picture in pictures), fps, metadata, scale)
    return ClipResult(out, json_path, written, float(written / fps), history)
