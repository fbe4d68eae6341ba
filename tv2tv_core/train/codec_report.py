"""Compares trained codecs: a table of figures on held-out chunks and a contact sheet of truth beside each codec.

`python -m tv2tv_core.train.codec_report [RUN…] --data ARENA --out SHEET.png`
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tv2tv_core.data.shards import load_split
from tv2tv_core.evaluate.lpips import Lpips
from tv2tv_core.model.codec import build_codec
from tv2tv_core.train.codec_task import (
    VALIDATION_CHUNKS,
    as_pixels,
    measure,
    reconstruct,
    spaced_chunks,
    trained_codec,
)

def decode_ms(codec: nn.Module, runs: int = 15) -> float:
    """Median milliseconds to decode one chunk with the threads that torch has."""
    latents = torch.zeros(1, *codec.latent_shape)
    seconds = []
    with torch.inference_mode():
        for _ in range(runs + 2):
            began = time.perf_counter()
            codec.decode(latents)
            seconds.append(time.perf_counter() - began)
    return 1000 * float(np.median(seconds[2:]))


def table(codecs: dict[str, nn.Module], data: Path) -> str:
    """A Markdown table: parameters, decode time, and per split LPIPS, LPIPS at twice the size, PSNR."""
    eyes = Lpips().eval(), Lpips(upsample=2).eval()
    lines = [
        "| codec | parameters | decode, ms a chunk | split | LPIPS | LPIPS at twice the size | PSNR, dB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, codec in codecs.items():
        size = sum(parameter.numel() for parameter in codec.parameters()) / 1e6
        speed = decode_ms(codec)
        for split in ("heldout", "heldout_map"):
            if episodes := load_split(data, split):
                found = measure(codec, spaced_chunks(episodes, VALIDATION_CHUNKS), *eyes)
                lines.append(
                    f"| {name} | {size:.2f} M | {speed:.0f} | {split} | {found['lpips']:.3f} "
                    f"| {found['lpips_fine']:.3f} | {found['psnr']:.1f} |"
                )
    return "\n".join(lines)


def sheet(codecs: dict[str, nn.Module], chunks: np.ndarray, scale: int = 2) -> np.ndarray:
    """One row a chunk (its last frame): truth, then every codec, `scale` times as large; uint8 HWC."""
    columns = [chunks[:, 3]] + [as_pixels(reconstruct(codec, chunks))[:, 3] for codec in codecs.values()]
    rows = [np.concatenate([column[index] for column in columns], axis=1) for index in range(len(chunks))]
    return np.concatenate(rows, axis=0).repeat(scale, axis=0).repeat(scale, axis=1)


def main() -> None:
    """Prints the table and writes the sheet; plain bicubic enlargement of the small pixels comes first in both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--data", type=Path, default=Path("runs/arena"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--chunks", type=int, default=4)
    given = parser.parse_args()
    codecs: dict[str, nn.Module] = {"bicubic": build_codec({"kind": "pixel"}).eval()}
    codecs |= {run.name: trained_codec(run)[0] for run in given.runs}
    print(table(codecs, given.data))
    if given.out:
        chunks = spaced_chunks(load_split(given.data, "heldout"), given.chunks + 1)[1:]
        picture = Image.fromarray(sheet(codecs, chunks)).quantize(256, dither=Image.Dither.NONE)  # small in a repository
        picture.save(given.out, optimize=True)


if __name__ == "__main__":
    main()
