"""Wan-VACE: earlier frames stand in a video whose rest is masked; the pipeline fills in the rest."""

from __future__ import annotations

from typing import ClassVar

from PIL import Image

from tv2tv_core.engine.pretrained.renderers.base import COMMON, NOTHING, Drawn, Renderer, Shot, images

GREY = (127, 127, 127)  # what the masked part is shown as


class WanVaceRenderer(Renderer):
    """`WanVACEPipeline`. Goes on from pictures: each chunk passes the codec once more, so colours can drift."""

    ARGUMENTS: ClassVar = {"WanVACEPipeline": COMMON | {"video", "mask"}}
    CANNOT = "no sound; no carried latents, so fine texture changes a little at each chunk"

    def draw(self, shot: Shot) -> Drawn:
        """The masked rest of a video that begins with the past."""
        past, new, size = self.past(shot), self.recipe.chunk_frames, (self.recipe.width, self.recipe.height)
        if not len(past):
            frames = self.call(shot, {"num_frames": new + 1})
            return Drawn(frames[-new:], NOTHING)
        video = images(past) + [Image.new("RGB", size, GREY)] * new
        mask = [Image.new("L", size, 0)] * len(past) + [Image.new("L", size, 255)] * new
        frames = self.call(shot, {"video": video, "mask": mask, "num_frames": len(video)})
        return Drawn(frames[-new:], NOTHING)
