"""From a preset to a backend that is ready to run: weights checked, text tower in place, on the best device there is."""

from __future__ import annotations

import torch

from tv2tv_core.engine.backend import Backend
from tv2tv_core.engine.native import NativeBackend
from tv2tv_core.errors import WeightsError
from tv2tv_core.model.checkpoint import CODEC, CODECS, GIVEN_CODEC, entries_of, load_weights
from tv2tv_core.model.codec import PixelCodec, build_codec
from tv2tv_core.model.config import ModelConfig
from tv2tv_core.model.smollm2 import Tokenizer, is_text_tower, load_text_tower
from tv2tv_core.model.tv2tv import TV2TV
from tv2tv_core.presets import Preset, verify_weights


def best_device() -> torch.device:
    """CUDA when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_backend(preset: Preset, device: torch.device | None = None) -> Backend:
    """Build the backend of a preset. Raises WeightsError for missing, altered or ill-fitting weights."""
    if preset.recipe is not None:
        from tv2tv_core.engine.pretrained.load import load_pretrained  # its library takes seconds to import

        return load_pretrained(preset, device)
    digest = verify_weights(preset)
    tensors, config = load_weights(preset.weights)
    if "model" not in config or "codec" not in config:
        raise WeightsError(f"{preset.weights} holds no whole model; export it with `python3 launch.py train export`")
    try:
        with torch.device("meta"):
            model = TV2TV(ModelConfig.from_dict(config["model"]))
            codecs = {name: build_codec(config[name]) for name in CODECS if name in config}
    except ValueError as error:
        raise WeightsError(f"{preset.weights} describes a model that cannot be built ({error}); use other weights") from error
    shape = model.config.video.latent_shape
    if any(not isinstance(codec, PixelCodec) or codec.latent_shape != shape for codec in codecs.values()):
        raise WeightsError(f"{preset.weights} holds a codec that this backend cannot run; it needs the pixel codec")
    model.to_empty(device="cpu")
    load_text_tower(model.mot)
    model.mot.reset_tables()
    ours = {name: tensor for name, tensor in tensors.items() if name.split(".")[0] not in codecs}
    expected = {name for name, value in model.state_dict().items()
                if not (name.startswith("mot.") and is_text_tower(name.removeprefix("mot."), value))}
    _fit(model, ours, expected, str(preset.weights))
    where = device or best_device()
    model = model.eval().requires_grad_(False).to(where).settle(torch.bfloat16)
    for name, codec in codecs.items():
        codec.to_empty(device="cpu")
        _fit(codec, entries_of(name, tensors), set(codec.state_dict()), str(preset.weights))
        codecs[name] = codec.eval().requires_grad_(False).to(where, memory_format=torch.channels_last)
    return NativeBackend(model, codecs[CODEC], Tokenizer.load(), name=preset.name, model_hash=digest,
                         given_codec=codecs.get(GIVEN_CODEC))


def _fit(module: torch.nn.Module, tensors: dict[str, torch.Tensor], expected: set[str], source: str) -> None:
    """Copy weights in; every expected entry must be there in its shape, and nothing else."""
    own = module.state_dict()
    missing = sorted(expected - set(tensors))
    unknown = sorted(set(tensors) - expected)
    wrong = sorted(name for name in expected & set(tensors) if own[name].shape != tensors[name].shape)
    if missing or unknown or wrong:
        what = f"{len(missing)} missing, {len(unknown)} unknown, {len(wrong)} of another shape"
        first = (missing + unknown + wrong)[0]
        raise WeightsError(f"{source} does not fit this version ({what}; first: {first}); use weights made for it")
    for name in expected:
        own[name].copy_(tensors[name])
