"""The codec's own loss: none for a perfect codec, blur for a coarse one, over chunks from everywhere."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tests.evaluate.recordings import Panning
from tv2tv_core.evaluate.codec_quality import codec_quality, reconstruct, spread_chunks


class Through(nn.Module):
    """A codec whose latents are the frames, at `1 / coarse` of their size."""

    latent_shape = (12, 96, 160)

    def __init__(self, coarse: int = 1) -> None:
        super().__init__()
        self.coarse = coarse
        self.unused = nn.Parameter(torch.zeros(1))

    def encode(self, frames: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(frames.flatten(1, 2), self.coarse)

    def decode(self, latents: Tensor) -> Tensor:
        return nn.functional.interpolate(latents, scale_factor=float(self.coarse)).unflatten(1, (4, 3))


def test_a_perfect_codec_loses_nothing() -> None:
    frames = Panning.make(chunks=5).frames  # every grey level survives half precision
    assert np.array_equal(reconstruct(Through(), frames), frames)


def test_a_coarse_codec_scores_worse_and_softer() -> None:
    ticks = []
    recordings = [Panning.make(chunks=3, seed=seed) for seed in range(2)]
    perfect, coarse = (codec_quality(Through(by), recordings, 4, lambda: ticks.append(1)) for by in (1, 8))
    assert len(ticks) == 8 and perfect[1].shape == perfect[2].shape == (4, 4, 96, 160, 3)
    of_perfect, of_coarse = ({score.metric: score for score in found[0]} for found in (perfect, coarse))
    assert of_perfect["lpips"].mean == 0 and of_perfect["sharpness"].mean == 1
    assert of_coarse["lpips"].mean > 0.1 and of_coarse["sharpness"].mean < 0.8
    assert of_coarse["psnr"].mean < of_perfect["psnr"].mean
    assert of_coarse["lpips"].low <= of_coarse["lpips"].mean <= of_coarse["lpips"].high


def test_chunks_come_from_all_episodes_and_never_twice() -> None:
    recordings = [Panning.make(chunks=6, seed=seed) for seed in range(3)]
    for count in (1, 3, 18, 99):
        chosen = {chunk.tobytes() for chunk in spread_chunks(recordings, count)}
        assert len(chosen) == min(count, 18)
    first, _, last = spread_chunks(recordings, 3)
    assert np.array_equal(first, recordings[0].frames[0]) and np.array_equal(last, recordings[2].frames[-1])
