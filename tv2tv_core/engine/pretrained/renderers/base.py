"""What the adapters have in common: load a pipeline from a folder, lay it out in memory, call it, and stop within a step."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import numpy as np
import torch
from PIL import Image

from tv2tv_core.engine.pretrained.fit import Plan
from tv2tv_core.engine.pretrained.past import past_frames, whole_groups
from tv2tv_core.engine.pretrained.quiet import quiet
from tv2tv_core.errors import TV2TVError, WeightsError
from tv2tv_core.recipe import Recipe
from tv2tv_core.timeline import History

NOTHING = np.zeros(1, np.float16)
"""The latents of a chunk whose pipeline goes on from its pictures alone. Not empty: the chunk has been encoded."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One chunk to draw: what came before it, what is to be seen, and how it is drawn.

    `stepped` is to be called after each denoising step; `check` raises `Cancelled` when asked to stop.
    """

    history: History
    prompt: str
    steps: int
    guidance: float
    seed: int
    stepped: Callable[[], None]
    check: Callable[[], None]


@dataclass(frozen=True, eq=False)
class Drawn:
    """New frames, uint8 [chunk_frames, H, W, 3], and the latents to go on from (`NOTHING` when there are none)."""

    frames: np.ndarray
    latents: np.ndarray


class Renderer:
    """A video pipeline that draws the next chunk of a story. Subclasses say what they call and how.

    `ARGUMENTS`: for each pipeline class, the first of which is loaded, the parameters that the adapter gives by name.
    `GROUP`: frames per latent frame. `EXACT_CODEC`: whether the codec may be more exact than the rest.
    `CANNOT`: what people should know before they choose it.
    """

    ARGUMENTS: ClassVar[Mapping[str, frozenset[str]]]
    GROUP: ClassVar[int] = 4
    EXACT_CODEC: ClassVar[bool] = True
    CANNOT: ClassVar[str]

    def __init__(self, recipe: Recipe, folder: Path, device: torch.device) -> None:
        if recipe.chunk_frames % self.GROUP:
            raise WeightsError(f"{recipe.pipeline} draws in groups of {self.GROUP} frames; the preset's chunk_frames is "
                               f"{recipe.chunk_frames}. Choose a multiple of {self.GROUP}.")  # fmt: skip
        for name in self.ARGUMENTS:
            check_parameters(getattr(diffusers, name, None), name, self.ARGUMENTS[name])
        self.recipe, self.folder, self.device = recipe, folder, device
        self.pipe: Any = None
        self._check: Callable[[], None] = _go_on

    # What a subclass brings -----------------------------------------------------------------------------------------

    def draw(self, shot: Shot) -> Drawn:
        """The chunk after `shot.history`. Only its own frames come back: what was there before is never touched."""
        raise NotImplementedError

    def encode_start(self, frames: np.ndarray) -> np.ndarray:
        """Latents to keep of a start chunk, uint8 THWC of the renderer's size."""
        return NOTHING

    def settle(self, pipe: Any) -> None:
        """Change what has to be changed about a pipeline that was just loaded."""

    # What they share ------------------------------------------------------------------------------------------------

    def load(self, plan: Plan) -> None:
        """Load the pipeline, in place of a loaded one, and lay it out as planned. Raises WeightsError."""
        self.unload()
        quiet()
        kind = getattr(diffusers, next(iter(self.ARGUMENTS)))
        on_gpu = self.device.type == "cuda"
        dtype = self.number_types(self.device.type)
        try:
            pipe = kind.from_pretrained(self.folder, dtype=dtype, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise WeightsError(f"{self.folder} holds no {kind.__name__} that this version can load ({reason}).") from error
        pipe.set_progress_bar_config(disable=True)
        self.settle(pipe)
        if on_gpu:
            self._lay_out(pipe, plan)
        self._watch(pipe)
        self.pipe = pipe

    @classmethod
    def number_types(cls, device: str) -> Any:
        """What weights are loaded as: half precision on a GPU, but for the codec, which would shift colours a little with
        every chunk.
        """
        if device != "cuda":
            return torch.float32
        return {"default": torch.bfloat16, "vae": torch.float32 if cls.EXACT_CODEC else torch.bfloat16}

    def unload(self) -> None:
        """Let go of the pipeline and its memory."""
        if self.pipe is None:
            return
        self.pipe = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def render(self, shot: Shot) -> Drawn:
        """`draw` with every source of chance seeded. A pipeline may draw from the process's own generator."""
        self._check = shot.check
        cuda = [self.device] if self.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices=cuda):
                torch.manual_seed(shot.seed)
                return self.draw(shot)
        finally:
            self._check = _go_on
            self.pipe.maybe_free_model_hooks()  # a call that was stopped has not come to do it itself

    def call(self, shot: Shot, arguments: Mapping[str, Any], pipe: Any = None) -> np.ndarray:
        """Call a pipeline (None: the loaded one) for frames, uint8 THWC. `arguments` come on top of the common ones."""
        pipe = self.pipe if pipe is None else pipe
        common = {
            "prompt": shot.prompt,
            "negative_prompt": self.recipe.negative_prompt,
            "width": self.recipe.width,
            "height": self.recipe.height,
            "guidance_scale": shot.guidance,
            "generator": torch.Generator().manual_seed(shot.seed),
            "output_type": "np",
            "callback_on_step_end": self.after_step(shot),
        }
        name = type(pipe).__name__
        if "num_inference_steps" in self.ARGUMENTS[name]:
            common["num_inference_steps"] = shot.steps
        given = common | dict(arguments)
        undeclared = sorted(set(given) - self.ARGUMENTS[name])
        assert not undeclared, f"{type(self).__name__} gives {undeclared} to {name} without declaring it"
        frames = np.asarray(pipe(**given).frames[0])
        return (frames * 255).round().clip(0, 255).astype(np.uint8)

    def after_step(self, shot: Shot) -> Callable[..., dict[str, Any]]:
        """The callback for a pipeline: reports the step, and stops there when asked to."""

        def stepped(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            shot.check()
            shot.stepped()
            return tensors

        return stepped

    def past(self, shot: Shot) -> np.ndarray:
        """The earlier frames that the pipeline is shown: 1 + k groups of them, or none."""
        return whole_groups(past_frames(shot.history, self.recipe.history_frames), self.GROUP)

    def sibling(self, name: str) -> Any:
        """Another pipeline over the same weights, for a start from text alone."""
        kind = getattr(diffusers, name)
        wanted = inspect.signature(kind.__init__).parameters
        settings = {key: value for key, value in self.pipe.config.items() if key in wanted}
        parts = {key: value for key, value in self.pipe.components.items() if key in wanted}
        pipe = kind(**settings | parts)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def _lay_out(self, pipe: Any, plan: Plan) -> None:
        if plan == "resident":
            pipe.to(self.device)
            return
        if plan == "model":
            pipe.enable_model_cpu_offload(device=self.device)
        else:
            streams = self.device.type == "cuda"  # layers come while others compute
            pipe.enable_group_offload(onload_device=self.device, offload_type="leaf_level", use_stream=streams)
        if hasattr(pipe.vae, "enable_tiling"):
            pipe.vae.enable_tiling()

    def _watch(self, pipe: Any) -> None:
        """Look before every layer whether to stop: on a small machine one step takes half a minute."""

        def look(module: torch.nn.Module, arguments: Any) -> None:
            self._check()

        for part in pipe.components.values():
            if isinstance(part, torch.nn.Module):
                layers = [layer for each in part.modules() if isinstance(each, torch.nn.ModuleList) for layer in each]
                for layer in layers:
                    layer.register_forward_pre_hook(look)


COMMON = frozenset({"prompt", "negative_prompt", "width", "height", "num_frames", "num_inference_steps", "guidance_scale",
                    "generator", "output_type", "callback_on_step_end"})  # fmt: skip
"""The parameters that nearly every pipeline is given."""


def check_parameters(kind: Any, name: str, needed: frozenset[str]) -> None:
    """That a pipeline class exists and still has the parameters that an adapter gives it. Raises TV2TVError by name."""
    version = diffusers.__version__
    if kind is None:
        raise TV2TVError(f"diffusers {version} has no {name}; install the version in requirements.txt.")
    absent = sorted(needed - set(inspect.signature(kind.__call__).parameters))
    if absent:
        raise TV2TVError(f"{name} of diffusers {version} has no parameter '{absent[0]}'; install the one in requirements.txt.")


def images(frames: np.ndarray) -> list[Image.Image]:
    """Frames, uint8 THWC, as the pictures that pipelines take."""
    return [Image.fromarray(frame) for frame in frames]


def _go_on() -> None:
    """Nobody asks to stop."""


def whole_rate(fps: Fraction) -> int:
    """A frame rate for pipelines that take whole ones."""
    return max(1, round(fps))
