"""SkyReels-V2 diffusion forcing: the encoded past is the clean beginning of the video that is denoised."""

from __future__ import annotations

from typing import ClassVar

from tv2tv_core.engine.pretrained.renderers.base import COMMON, NOTHING, Drawn, Renderer, Shot, images, whole_rate

SOFTEN = 20  # of 1000: a little noise on the past keeps long stories from going stiff; the published value
TEXT = "SkyReelsV2DiffusionForcingPipeline"
_BOTH = COMMON | {"overlap_history", "addnoise_condition", "base_num_frames", "ar_step", "fps"}


class SkyReelsRenderer(Renderer):
    """`SkyReelsV2DiffusionForcingVideoToVideoPipeline`, one window per chunk; its sibling starts from text alone."""

    ARGUMENTS: ClassVar = {"SkyReelsV2DiffusionForcingVideoToVideoPipeline": _BOTH | {"video"}, TEXT: _BOTH}
    CANNOT = "no sound; no carried latents; slow: every step runs over the past as well"

    def draw(self, shot: Shot) -> Drawn:
        """The window behind its overlap with the past."""
        past, new = self.past(shot), self.recipe.chunk_frames
        window = max(1, len(past)) + new
        arguments = {
            "num_frames": window,
            "base_num_frames": window,
            "overlap_history": max(1, len(past)),  # left out, the pipeline fails
            "addnoise_condition": SOFTEN if len(past) else 0,
            "ar_step": 0,
            "fps": whole_rate(self.recipe.fps),
        }
        if len(past):
            frames = self.call(shot, arguments | {"video": images(past)})
        else:
            frames = self.call(shot, arguments, self.sibling(TEXT))
        return Drawn(frames[-new:], NOTHING)
