"""LTX with conditions: earlier frames are a condition at frame 0; the pipeline continues them."""

from __future__ import annotations

from typing import ClassVar

from tv2tv_core.engine.pretrained.renderers.base import COMMON, NOTHING, Drawn, Renderer, Shot, images, whole_rate

DECODE_TIMESTEP = 0.05  # the decoder denoises a little itself; both numbers are the published examples'
DECODE_NOISE = 0.025


class LtxRenderer(Renderer):
    """`LTXConditionPipeline`. Goes on from pictures. A motion of several frames is kept, a single frame may jump."""

    GROUP = 8
    EXACT_CODEC = False  # the pipeline decodes in the precision of its text encoder
    ARGUMENTS: ClassVar = {
        "LTXConditionPipeline": COMMON | {"conditions", "frame_rate", "decode_timestep", "decode_noise_scale"}
    }
    CANNOT = "no sound; no carried latents; sizes are multiples of 32"

    def draw(self, shot: Shot) -> Drawn:
        """The video that begins with the past, without that beginning."""
        from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

        past, new = self.past(shot), self.recipe.chunk_frames
        conditions = [LTXVideoCondition(video=images(past), frame_index=0)] if len(past) else None
        arguments = {
            "conditions": conditions,
            "num_frames": max(1, len(past)) + new,
            "frame_rate": whole_rate(self.recipe.fps),
            "decode_timestep": DECODE_TIMESTEP,
            "decode_noise_scale": DECODE_NOISE,
        }
        return Drawn(self.call(shot, arguments)[-new:], NOTHING)
