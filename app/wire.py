"""Values → the plain data that browsers receive. Seeds travel as text: JavaScript has no 63-bit integers."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from app import jobs
from tv2tv_core.engine import events
from tv2tv_core.project.file import ChunkRecord, Project, ProjectInfo
from tv2tv_core.story import Take

PREVIEW_QUALITY = 82  # JPEG: a preview is seen for a tenth of a second


@dataclass(frozen=True)
class Forming:
    """The chunk in flight: its plan text so far, the finished line, the denoising steps done, the last preview."""

    index: int
    take: str
    text: str = ""
    line: str | None = None
    source: str | None = None
    step: int = 0
    steps: int = 0
    preview: tuple[str, ...] | None = None


def frame_url(project: str, chunk: str, k: int = 0) -> str:
    """Where a browser finds frame `k` of a chunk; the same address always means the same bytes."""
    return f"/studio/p/{project}/c/{chunk}/{k}.png"


def settings(values: Mapping[str, object]) -> dict[str, object]:
    """Generation settings with the seed as text."""
    return {name: str(value) if name == "seed" else value for name, value in values.items()}


def project(info: ProjectInfo, root: str) -> dict[str, object]:
    """What a project is; `root` is the id of its start chunk."""
    return {
        "id": info.id,
        "name": info.name,
        "created": info.created,
        "preset": info.preset,
        "prompt": info.prompt,
        "start": info.start,
        "fps": float(info.fps),
        "chunk_frames": info.chunk_frames,
        "width": info.width,
        "height": info.height,
        "settings": settings(info.settings),
        "root": {"id": root},
    }


def chunk(record: ChunkRecord) -> dict[str, object]:
    """One finished chunk."""
    return {
        "id": record.id,
        "index": record.index,
        "plan": record.plan,
        "line": record.line,
        "source": record.source,
        "asked": record.asked,
        "seed": None if record.seed is None else str(record.seed),
        "steps": record.steps,
        "guidance": record.guidance,
        "temperature": record.temperature,
        "top_p": record.top_p,
        "stream": record.stream,
        "seconds": round(record.seconds, 4),
    }


def take(value: Take, tip: ChunkRecord, info: ProjectInfo) -> dict[str, object]:
    """One take as the list of takes shows it."""
    chunks = tip.index + 1
    return {
        "id": value.id,
        "name": value.name,
        "chunks": chunks,
        "seconds": round(float(chunks * info.chunk_frames / info.fps), 3),
        "parent": value.parent,
        "at": value.at,
        "tip": value.tip,
        "thumb": frame_url(info.id, value.tip, info.chunk_frames - 1),
    }


def story(project: Project) -> dict[str, object]:
    """The takes, the active one, the lines that wait for its next chunks (by index), what undo and redo would do."""
    value = project.story
    return {
        "takes": [take(one, project.record(one.tip), project.info) for one in value.takes],
        "active": value.active,
        "planned": {str(index): line for index, line in value.current.planned},
        "undo": project.undo_label,
        "redo": project.redo_label,
    }


def job(value: jobs.Job) -> dict[str, object]:
    """What a project's job is."""
    work = getattr(value, "work", None)
    return {
        "state": type(value).__name__.lower(),
        "reason": work.reason if work else None,
        "take": work.take if work else None,
        "done": work.done if work else 0,
        "total": work.total if work else 0,
        "left_s": getattr(value, "left_s", None),
        "message": getattr(value, "message", None),
    }


def forming(value: Forming | None) -> dict[str, object] | None:
    """The chunk in flight, or nothing."""
    return None if value is None else {**vars(value), "preview": value.preview and list(value.preview)}


def formed(now: Forming, event: events.Event, steps: int) -> tuple[Forming, dict[str, object]]:
    """The chunk in flight after one more event of the engine, and the message that tells it."""
    news: dict[str, object] = {"index": now.index, "take": now.take}
    match event:
        case events.TextToken(text=text):
            return replace(now, text=now.text + text), news | {"type": "token", "text": text}
        case events.PlanDone(line=line, source=source):
            return replace(now, text=line, line=line, source=source), news | {"type": "line", "line": line, "source": source}
        case events.ChunkStarted(plan=plan):
            # Text that became no line of its own: the plan in force goes on.
            return replace(now, text=now.line or "", steps=steps), news | {"type": "started", "plan": plan}
        case events.DenoisingStep(step=step, preview=preview):
            seen = previews(preview)
            told = news | {"type": "step", "step": step, "steps": steps, "preview": seen and list(seen)}
            return replace(now, step=step, steps=steps, preview=seen), told
    raise TypeError(f"{type(event).__name__} says nothing about a chunk in flight")


def previews(frames: np.ndarray | None) -> tuple[str, ...] | None:
    """Frames, uint8 THWC RGB, as data URLs of small JPEGs."""
    if frames is None:
        return None
    quality = [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_QUALITY]
    encoded = (cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), quality)[1] for frame in frames)
    return tuple("data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode() for data in encoded)


def changed_path(old: Sequence[str], new: Sequence[ChunkRecord]) -> tuple[int, list[dict[str, object]]]:
    """How many chunks of the path (ids) stay, and the chunks that follow them now."""
    keep = 0
    while keep < min(len(old), len(new)) and old[keep] == new[keep].id:
        keep += 1
    return keep, [chunk(record) for record in new[keep:]]
