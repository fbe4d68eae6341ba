"""Wan image-to-video: only the very last frame is known to the next chunk, so motion starts anew each time."""

from __future__ import annotations

from typing import ClassVar

from PIL import Image

from tv2tv_core.engine.pretrained.renderers.base import COMMON, NOTHING, Drawn, Renderer, Shot

TEXT = "WanPipeline"


class WanImageRenderer(Renderer):
    """`WanImageToVideoPipeline`, for checkpoints that take a first frame; `WanPipeline` starts from text alone."""

    ARGUMENTS: ClassVar = {"WanImageToVideoPipeline": COMMON | {"image"}, TEXT: COMMON}
    CANNOT = "no sound; sees one frame of the past, so speed and direction are lost at each chunk"

    def draw(self, shot: Shot) -> Drawn:
        """The frames that follow the last one."""
        past, new = self.past(shot), self.recipe.chunk_frames
        if len(past):
            frames = self.call(shot, {"image": Image.fromarray(past[-1]), "num_frames": 1 + new})
        else:
            frames = self.call(shot, {"num_frames": 1 + new}, self.sibling(TEXT))
        return Drawn(frames[-new:], NOTHING)
