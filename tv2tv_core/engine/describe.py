"""What a preset's backend will be, read from the head of its weight file: no tensor is loaded, no tensor library needed."""

from __future__ import annotations

import json
import struct
from fractions import Fraction

from tv2tv_core.engine.backend import BackendSpec
from tv2tv_core.errors import WeightsError
from tv2tv_core.presets import Preset, verify_weights
from tv2tv_core.recipe import Recipe

FPS = Fraction(35, 2)
PIXELS = 2
"""How many times wider and higher frames are than the latents that the codec decodes."""
_FORMAT = "tv2tv-weights-1"
_MAX_HEADER = 16 * 2**20


def describe(preset: Preset) -> BackendSpec:
    """The spec that `load_backend(preset)` will have, in milliseconds. Raises WeightsError for a damaged weight file.

    Pretrained models need not even be there.
    """
    digest = verify_weights(preset)
    if preset.recipe is not None:
        return recipe_spec(preset.name, preset.recipe)
    try:
        with preset.weights.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _MAX_HEADER:
                raise ValueError("its header is too large")
            header = json.loads(stream.read(length))
        model = json.loads(header["__metadata__"][_FORMAT])["model"]
        _, rows, columns = model["video"]["latent_shape"]
        return BackendSpec(
            name=preset.name,
            chunk_frames=int(model["video"]["chunk_frames"]),
            fps=FPS,
            width=PIXELS * int(columns),
            height=PIXELS * int(rows),
            context=int(model["context"]) - 1,
            model_hash=digest,
            takes_intents=True,
        )
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise WeightsError(
            f"{preset.weights} is not a readable weight file ({type(error).__name__}: {error}); restore or re-export it"
        ) from error


def recipe_spec(name: str, recipe: Recipe) -> BackendSpec:
    """The spec of pretrained models, which follows from the recipe alone."""
    return BackendSpec(
        name=name,
        chunk_frames=recipe.chunk_frames,
        fps=recipe.fps,
        width=recipe.width,
        height=recipe.height,
        context=-(-recipe.history_frames // recipe.chunk_frames),
        model_hash=recipe.identity,
        takes_intents=True,
    )
