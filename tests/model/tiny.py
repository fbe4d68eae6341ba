"""A TV2TV small enough for tests: real code, random weights, every part switched on."""

from __future__ import annotations

import torch

from tv2tv_core.model.config import ModelConfig, MotionConfig, TextConfig, VideoConfig
from tv2tv_core.model.tv2tv import TV2TV

TEXT = TextConfig(vocab=60, layers=4, width=32, ffn=48, heads=4, kv_heads=2, head_dim=8, eos=2, adapter_rank=2,
                  adapter_from=2)
VIDEO = VideoConfig(latent_shape=(12, 16, 24), patch=8, stem_widths=(8, 16), width=24, ffn=32, every=2,
                    text_reads_video_from=2, gate_start=0.0,
                    motion=MotionConfig(read_layer=2, plan_width=16, queries=2, widths=(8, 8, 16)))
TINY = ModelConfig(TEXT, VIDEO, context=4)


def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Give every parameter some random value, zero-initialised ones too, so that no path hides behind a zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan = parameter.shape[-1] if parameter.dim() > 1 else 10
            parameter.add_(torch.randn(parameter.shape, generator=generator) * fan**-0.5)


def tiny_model(config: ModelConfig = TINY, seed: int = 0) -> TV2TV:
    """A random model in evaluation mode."""
    torch.manual_seed(seed)
    model = TV2TV(config).eval()
    randomise(model, seed)
    return model
