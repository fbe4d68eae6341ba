"""From a preset of pretrained models to a backend: weights found, planner and pipeline loaded, memory laid out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tv2tv_core.engine.pretrained.weights import part_sizes, require
from tv2tv_core.errors import WeightsError
from tv2tv_core.presets import Preset
from tv2tv_core.settings import shorten

if TYPE_CHECKING:
    import torch

    from tv2tv_core.engine.pretrained.backend import PretrainedBackend

RENDERERS = {
    "WanVACEPipeline": ("wan_vace", "WanVaceRenderer"),
    "LTXConditionPipeline": ("ltx", "LtxRenderer"),
    "SkyReelsV2DiffusionForcingVideoToVideoPipeline": ("skyreels", "SkyReelsRenderer"),
    "WanImageToVideoPipeline": ("wan_image", "WanImageRenderer"),
    "HeliosPyramidPipeline": ("helios", "HeliosRenderer"),
}
"""Module and class of the adapter of each pipeline."""


def renderer_class(pipeline: str) -> type:
    """The adapter of a pipeline. Raises WeightsError for one that has none."""
    import importlib

    if pipeline not in RENDERERS:
        raise WeightsError(f"No adapter draws with {shorten(pipeline)}; there are adapters for {', '.join(RENDERERS)}.")
    module, name = RENDERERS[pipeline]
    return getattr(importlib.import_module(f"tv2tv_core.engine.pretrained.renderers.{module}"), name)


def load_pretrained(preset: Preset, device: torch.device | None = None) -> PretrainedBackend:
    """The backend of a preset with a recipe. Raises WeightsError when weights are missing, before anything heavy."""
    folder, planner_folder = require(preset)
    import torch

    from tv2tv_core.engine.pretrained.backend import PretrainedBackend
    from tv2tv_core.engine.pretrained.fit import ladder
    from tv2tv_core.engine.pretrained.planner import load_planner

    recipe = preset.recipe
    where = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sizes = part_sizes(folder)
    free = torch.cuda.mem_get_info(where)[0] if where.type == "cuda" else 0
    plans = ladder(sizes, free, recipe.offload) if where.type == "cuda" else ladder({}, 2**63, recipe.offload)
    renderer = renderer_class(recipe.pipeline)(recipe, folder, where)
    # The planner writes a line in seconds even on the CPU; the card's memory is the pipeline's.
    return PretrainedBackend(load_planner(planner_folder), renderer, plans, name=preset.name)
