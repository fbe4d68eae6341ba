"""What a preset of pretrained models is made of, as data: which pipeline draws, in which size, and which model plans."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tv2tv_core.errors import InputError
from tv2tv_core.settings import shorten

OFFLOADS = ("auto", "resident", "model", "leaf")
"""How a pipeline lies in memory: chosen by free memory, all on the GPU, one part at a time, one layer at a time."""
_CHECKPOINT = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}")
_RENDERER = {"pipeline", "checkpoint", "path", "width", "height", "fps", "chunk_frames", "history_frames", "match_colour",
             "negative_prompt", "offload"}  # fmt: skip
_PLANNER = {"checkpoint", "path"}


@dataclass(frozen=True)
class Weights:
    """Where weights lie: a folder of one's own (`path`), or a checkpoint by its public name (`owner/name`)."""

    checkpoint: str = ""
    path: Path | None = None

    @property
    def name(self) -> str:
        """The name for people."""
        return self.checkpoint or str(self.path)


@dataclass(frozen=True)
class Recipe:
    """A renderer and a planner (None: the language model that comes with the studio).

    `chunk_frames` new frames are drawn at a time after at most `history_frames` earlier ones; sizes are in pixels.
    """

    pipeline: str
    weights: Weights
    width: int
    height: int
    fps: Fraction
    chunk_frames: int
    history_frames: int
    planner: Weights | None = None
    match_colour: bool = False
    negative_prompt: str = ""
    offload: str = "auto"

    @property
    def identity(self) -> str:
        """sha256 (hex) of the names of both models and their pipeline; stands for the weights without reading them."""
        named = [self.pipeline, self.weights.name, self.planner.name if self.planner else ""]
        return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def read_recipe(place: Path, renderer: object, planner: object) -> Recipe:
    """The recipe in the sections `renderer` and `planner` of the preset file `place`. Raises InputError in one line."""
    given = _section(place, "renderer", renderer, _RENDERER)
    pipeline = given.get("pipeline")
    if not isinstance(pipeline, str) or not pipeline.isidentifier():
        raise InputError(f"{place}: renderer.pipeline is {shorten(pipeline)}; name a pipeline class, such as WanVACEPipeline.")
    offload = given.get("offload", "auto")
    if offload not in OFFLOADS:
        raise InputError(f"{place}: renderer.offload is {shorten(offload)}; allowed is {', '.join(OFFLOADS)}.")
    colour, negative = given.get("match_colour", False), given.get("negative_prompt", "")
    if not isinstance(colour, bool) or not isinstance(negative, str):
        raise InputError(f"{place}: renderer.match_colour is true or false, renderer.negative_prompt is a text.")

    def number(name: str, least: int, most: int) -> int:
        value = given.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise InputError(f"{place}: renderer.{name} is {shorten(value)}; allowed is a whole number from {least} to {most}.")
        return value

    return Recipe(
        pipeline=pipeline,
        weights=_weights(place, "renderer", given),
        width=number("width", 16, 2048),
        height=number("height", 16, 2048),
        fps=_rate(place, given.get("fps"), number),
        chunk_frames=number("chunk_frames", 1, 512),
        history_frames=number("history_frames", 1, 512),
        planner=None if planner is None else _weights(place, "planner", _section(place, "planner", planner, _PLANNER)),
        match_colour=colour,
        negative_prompt=negative,
        offload=str(offload),
    )


def _section(place: Path, name: str, data: object, keys: set[str]) -> Mapping[str, object]:
    if not isinstance(data, dict):
        raise InputError(f"{place}: `{name}` holds `key: value` lines, see presets/wan-vace-1.3b.yaml.")
    unknown = sorted(str(key) for key in data if key not in keys)
    if unknown:
        raise InputError(f"{place}: {name} has the unknown key {shorten(unknown[0])}. Keys are: {', '.join(sorted(keys))}.")
    return data


def _weights(place: Path, name: str, data: Mapping[str, object]) -> Weights:
    checkpoint, path = data.get("checkpoint"), data.get("path")
    if isinstance(path, str) and path and checkpoint is None:
        return Weights(path=(place.resolve().parent / path).resolve())
    if isinstance(checkpoint, str) and _CHECKPOINT.fullmatch(checkpoint) and path is None:
        return Weights(checkpoint)
    raise InputError(f"{place}: {name} needs either `checkpoint: OWNER/NAME` or `path: FOLDER`, relative to this file.")


def _rate(place: Path, value: object, number: Callable[[str, int, int], int]) -> Fraction:
    if isinstance(value, float) and 1 <= value <= 120:
        return Fraction(value).limit_denominator(1001)
    return Fraction(number("fps", 1, 120))
