"""What the codec alone costs: frames against the same frames after encoding and decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tv2tv_core.evaluate.prediction import METRICS, Recording
from tv2tv_core.model.codec import Codec

BATCH = 4
SPREAD = (0.1, 0.9)  # quantiles shown beside the mean


@dataclass(frozen=True)
class CodecScore:
    """Mean of one metric over the frames of the chosen chunks, with the 10 % and 90 % quantiles over chunks."""

    metric: str
    mean: float
    low: float
    high: float


def reconstruct(codec: Codec, chunks: np.ndarray) -> np.ndarray:
    """uint8 [n, 4, H, W, 3] through the codec and back, uint8 of the same shape.

    Latents are rounded to half precision in between, as a finished chunk's are.
    """
    device = next(codec.parameters()).device
    made = []
    with torch.inference_mode():
        for first in range(0, len(chunks), BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(chunks[first : first + BATCH])).to(device)
            unit = batch.permute(0, 1, 4, 2, 3).float().div(127.5).sub(1)
            back = codec.decode(codec.encode(unit).half().float())
            pixels = back.float().add(1).mul(127.5).round().clamp(0, 255).byte()
            made.append(pixels.permute(0, 1, 3, 4, 2).cpu().numpy())
    return np.concatenate(made)


def codec_quality(
    codec: Codec, episodes: Sequence[Recording], count: int, on_chunk: Callable[[], None] = lambda: None
) -> tuple[list[CodecScore], np.ndarray, np.ndarray]:
    """Scores over about `count` chunks spread evenly over `episodes`; also those chunks, true and decoded.

    Both are uint8 [n, 4, H, W, 3]. `on_chunk` is called once per chunk.
    """
    true = np.stack(spread_chunks(episodes, count))
    made, values = [], {name: [] for name in METRICS}
    for first in range(0, len(true), BATCH):
        part = true[first : first + BATCH]
        made.append(reconstruct(codec, part))
        for name, metric in METRICS.items():
            values[name] += metric(made[-1], part).mean(axis=1).tolist()
        for _ in part:
            on_chunk()
    scores = [
        CodecScore(name, float(np.mean(found)), *(float(value) for value in np.quantile(found, SPREAD)))
        for name, found in values.items()
    ]
    return scores, true, np.concatenate(made)


def spread_chunks(episodes: Sequence[Recording], count: int) -> list[np.ndarray]:
    """About `count` chunks, uint8 [4, H, W, 3], at even distances over all episodes; at least one, at most all."""
    places = [(episode, chunk) for episode in episodes for chunk in range(len(episode))]
    chosen = np.linspace(0, len(places) - 1, max(1, min(count, len(places)))).round().astype(int)
    return [np.array(episode.frames[chunk]) for episode, chunk in (places[index] for index in chosen)]
