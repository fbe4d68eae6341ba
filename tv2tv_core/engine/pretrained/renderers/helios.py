"""Helios: goes on from its own latents, chunk after chunk, with the first frame as an anchor; no picture is encoded twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch

from tv2tv_core.engine.pretrained.past import moving_part
from tv2tv_core.engine.pretrained.renderers.base import COMMON, NOTHING, Drawn, Renderer, Shot
from tv2tv_core.errors import WeightsError
from tv2tv_core.recipe import Recipe

LATENT_FRAMES = 9
CHUNK = 33  # pictures that nine latent frames decode to
HISTORY = (16, 2, 1)  # latent frames that are remembered: coarsely, finely, exactly
CHUNKS = 1 + sum(HISTORY) // LATENT_FRAMES  # that the memory reaches back over
STAGES = 3
GAMMA = 1 / 3 - 1e-5
START_NOISE = 0.123  # on an encoded start, as in training: the middle of the pipeline's own range


class HeliosRenderer(Renderer):
    """`HeliosPyramidPipeline`. The latents of a chunk are what the next one sees, as in an unbroken run of the pipeline.

    Latents of a start chunk: the anchor frame, then what stands for the past (one latent frame for a still, nine for a
    video). Latents of a chunk: its nine frames.
    """

    GROUP = 1
    ARGUMENTS: ClassVar = {
        "HeliosPyramidPipeline": (COMMON - {"num_inference_steps"})
        | {"image_latents", "video_latents", "add_noise_to_image_latents", "add_noise_to_video_latents", "history_sizes",
           "num_latent_frames_per_chunk", "pyramid_num_inference_steps_list"}
    }  # fmt: skip
    CANNOT = "no sound; chunks of 33 frames only"

    def __init__(self, recipe: Recipe, folder: Any, device: torch.device) -> None:
        super().__init__(recipe, folder, device)
        if recipe.chunk_frames != CHUNK:
            raise WeightsError(f"{recipe.pipeline} draws {CHUNK} frames at a time; chunk_frames is {recipe.chunk_frames}.")

    def draw(self, shot: Shot) -> Drawn:
        """The next nine latent frames, decoded by themselves."""
        anchor, past = self._carried(shot)
        kept: list[torch.Tensor] = []
        arguments = {
            "image_latents": anchor,
            "video_latents": past,
            "add_noise_to_image_latents": False,  # carried latents are what the model itself drew
            "add_noise_to_video_latents": False,
            "history_sizes": list(HISTORY),  # a fresh list: the pipeline changes it
            "num_latent_frames_per_chunk": LATENT_FRAMES,
            "pyramid_num_inference_steps_list": stage_steps(shot.steps),
            "num_frames": CHUNK,
            "callback_on_step_end": self._keep_latents(shot, kept),
        }
        frames = self.call(shot, arguments)
        return Drawn(frames[-CHUNK:], kept[-1][0].float().cpu().numpy().astype(np.float16))

    def encode_start(self, frames: np.ndarray) -> np.ndarray:
        """Anchor and past of a start chunk, float16 [C, 1 + n, h, w]; `NOTHING` for a start from text alone."""
        moving = moving_part(frames)
        if not len(moving):
            return NOTHING
        still = len(moving) < CHUNK
        shown = np.repeat(moving[-1:], CHUNK, axis=0) if still else moving[-CHUNK:]
        generator = torch.Generator().manual_seed(0)
        with torch.inference_mode():
            anchor, past = (self._noisy(self._encode(each), generator) for each in (shown[:1], shown))
        latents = torch.cat([anchor, past[:, -1:] if still else past], dim=1)
        return latents.float().cpu().numpy().astype(np.float16)

    def settle(self, pipe: Any) -> None:
        """At gamma = 1/3 the pipeline's block noise has no variance left in one direction; rounding then makes its matrix
        impossible to factor, at least on a CPU. A hair less changes nothing that one could see.
        """
        if pipe.scheduler.config.gamma > GAMMA:
            pipe.scheduler.register_to_config(gamma=GAMMA)

    def _carried(self, shot: Shot) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Anchor [1, C, 1, h, w] and the latents of the past [1, C, n, h, w]; None before there are any."""
        start, *chunks = shot.history.chunks
        begun = np.asarray(start.latents)
        pieces = [np.asarray(chunk.latents) for chunk in chunks[-CHUNKS:]]
        if begun.ndim == 4:
            anchor = begun[:, :1]
            pieces = [begun[:, 1:], *pieces] if len(pieces) == len(chunks) else pieces
        elif chunks:
            anchor = np.asarray(chunks[0].latents)[:, :1]
        else:
            return None, None
        past = np.concatenate(pieces, axis=1)[:, -sum(HISTORY) :]
        return tuple(torch.from_numpy(each.astype(np.float32))[None].to(self.device) for each in (anchor, past))

    def _keep_latents(self, shot: Shot, kept: list[torch.Tensor]) -> Callable[..., dict[str, Any]]:
        report = self.after_step(shot)

        def stepped(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            kept[:] = [tensors["latents"]]
            return report(pipe, step, timestep, tensors)

        return stepped

    def _encode(self, frames: np.ndarray) -> torch.Tensor:
        """Normalised latents [C, n, h, w] of frames, uint8 THWC."""
        vae = self.pipe.vae
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)[None].float().div(127.5).sub(1)
        latents = vae.encode(pixels.to(self.device, vae.dtype)).latent_dist.mode()[0].float()
        mean, spread = (torch.tensor(row, device=latents.device).view(-1, 1, 1, 1)
                        for row in (vae.config.latents_mean, vae.config.latents_std))  # fmt: skip
        return (latents - mean) / spread

    @staticmethod
    def _noisy(latents: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)
        return START_NOISE * noise + (1 - START_NOISE) * latents


def stage_steps(steps: int) -> list[int]:
    """`steps` in all, spread over the three sizes in which a chunk is drawn; at least one each, the last ones first."""
    return [max(1, (steps + stage) // STAGES) for stage in range(STAGES)]
