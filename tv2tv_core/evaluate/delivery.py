"""How good Smooth and Sharpen are on held-out pairs, beside simpler and other people's ways; a table, figures, pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from tv2tv_core.data.pairs import Clip, load_clips
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate.metrics import lpips, psnr, sharpness
from tv2tv_core.evaluate.yardsticks import bicubic, blend, flow_warp, moved, real_esrgan, rife
from tv2tv_core.media.delivery import Net, is_cut, shipped
from tv2tv_core.model.interpolator import both_flows

STARTS = (1, 9, 17, 25)  # tics; recorded frames are the odd ones
LARGE_TICS = slice(1, None, 2)
SHOWN = 4  # rows of a picture
Row = dict[str, float]


@dataclass(frozen=True)
class Figures:
    """Tables by method: between (middle frame 17.5 → 35), wide (8.75 → 17.5), after (next frame), large (4x)."""

    between: dict[str, Row]
    wide: dict[str, Row]
    after: dict[str, Row]
    large: dict[str, Row]

    def table(self) -> str:
        """The tables as Markdown."""
        titles = {
            "between": "Middle frame, 17.5 → 35 frames/s", "wide": "Middle frame, 8.75 → 17.5 frames/s",
            "after": "Next frame at 17.5 frames/s", "large": "160x96 → 640x384",
        }
        return "\n\n".join(f"**{title}**\n\n{_markdown(getattr(self, name))}" for name, title in titles.items())


def evaluate_delivery(pairs: Path, out: Path, count: int = 16, net: Net | None = None) -> str:
    """Measure `net` (default: the shipped one) on `count` held-out clips; writes delivery.json and pictures into `out`.

    The clips are spread evenly over all, so that no map is left out. Returns the tables as text. Raises InputError when
    there are no held-out pairs.
    """
    found = load_clips(pairs, "heldout")
    clips = [found[k * len(found) // count] for k in range(count)] if count < len(found) else found
    if not clips:
        raise InputError(f"no held-out pairs in {pairs}; make them: python -m tv2tv_core.data.pairs --split heldout")
    net, out = net or shipped(), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    pictures: list[np.ndarray] = []
    ways = _between_ways(net)
    figures = Figures(
        _middles(clips, 1, ways, pictures), _middles(clips, 2, {**ways, "network": _middle(net, 8.75)}),
        _next(clips, net), _large(clips, net, out / "sharpen.png"),
    )
    cv2.imwrite(str(out / "smooth.png"), np.concatenate(pictures[:SHOWN])[..., ::-1])
    (out / "delivery.json").write_text(json.dumps({"clips": len(clips), **vars(figures)}, indent=1), encoding="utf-8")
    return figures.table()


def warp_error(frames: np.ndarray, flows: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Mean difference in grey levels between each frame and the next one moved back onto it, float64 [n - 1].

    frames: uint8 [n, H, W, 3]; flows: (flow [2, H, W], where it can be trusted: bool [H, W]) of the true clip.
    """
    return np.array([
        np.abs(now.astype(np.float64) - moved(after, flow))[trusted].mean()
        for now, after, (flow, trusted) in zip(frames[:-1], frames[1:], flows, strict=True)
    ])


def flicker(frames: np.ndarray, truth: np.ndarray, flows: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """How much of the error does not move with the picture, in grey levels, float64 [n - 1]: 0 when the error stands still.

    Unlike the warp error it does not reward blur: what is compared along the motion is frame minus true frame.
    """
    error = frames.astype(np.float32) - truth
    return np.array([
        np.abs(now - moved(after, flow))[trusted].mean()
        for now, after, (flow, trusted) in zip(error[:-1], error[1:], flows, strict=True)
    ])


def true_flows(truth: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Flow of each frame of uint8 [n, H, W, 3] to the next, and where there and back agree within one and a half pixels."""
    found = []
    for now, after in pairwise(truth):
        there, back = both_flows(now, after)
        returned = there.transpose(1, 2, 0) + moved(back.transpose(1, 2, 0), there)
        found.append((there, np.linalg.norm(returned, axis=2) < 1.5))
    return found


def _between_ways(net: Net) -> dict[str, Callable]:
    ways: dict[str, Callable | None] = {
        "blending": blend, "DIS flow": flow_warp, "RIFE": rife(), "RIFE at 2x size": rife(2), "network": _middle(net, 17.5),
    }
    return {name: way for name, way in ways.items() if way is not None}


def _middle(net: Net, fps: float) -> Callable:
    return lambda first, second: net.between([(first, second)], 2, fps)[0, 0]


def _middles(clips: Sequence[Clip], step: int, ways: dict[str, Callable], pictures: list | None = None) -> dict[str, Row]:
    """Every way's middle frame at `step` tics from both known ones, against the true one.

    Cuts and windows in which nothing changes at all are left out: the stages hold a frame there.
    """
    known = [(clip.small[k], clip.small[k + step], clip.small[k + 2 * step])
             for clip in clips for k in STARTS if k + 2 * step < len(clip.small)]
    known = [triple for triple in known if not (is_cut(triple[0], triple[2]) or np.array_equal(triple[0], triple[2]))]
    true = np.stack([middle for _, middle, _ in known])
    made, table = {}, {}
    for name, way in ways.items():
        began = time.process_time()
        made[name] = np.stack([way(first, second) for first, _, second in known])
        table[name] = _row(made[name], true, time.process_time() - began)
    if pictures is not None:
        moving = np.argsort([-np.abs(a.astype(int) - b).mean() for a, _, b in known])[:: max(1, len(known) // 12)]
        for k in moving[:SHOWN]:
            pictures.append(np.concatenate([known[k][0], *(made[name][k] for name in ways), true[k]], axis=1))
    return table


def _next(clips: Sequence[Clip], net: Net) -> dict[str, Row]:
    """One frame past the last known one: held, and by the network."""
    known = [(clip.small[k], clip.small[k + 2], clip.small[k + 4]) for clip in clips for k in STARTS if k + 4 < len(clip.small)]
    true = np.stack([after for _, _, after in known])
    table = {"last frame held": _row(np.stack([last for _, last, _ in known]), true, 0.0)}
    began = time.process_time()
    made = np.stack([net.after(first, second, 1, 17.5)[0] for first, second, _ in known])
    return table | {"network": _row(made, true, time.process_time() - began)}


def _large(clips: Sequence[Clip], net: Net, picture: Path) -> dict[str, Row]:
    """Four frames of every clip at 640x384, with how they hang together in time."""
    ways: dict[str, Callable] = {"bicubic": lambda frames: np.stack([bicubic(frame) for frame in frames])}
    if (esrgan := real_esrgan()) is not None:
        ways["Real-ESRGAN video"] = lambda frames: np.stack([esrgan(frame) for frame in frames])
    ways["network"] = lambda frames: net.enlarged(frames, 4)
    rows: dict[str, list[Row]] = {name: [] for name in ("truth", *ways)}
    shown = []
    for clip in clips:
        true, small = np.array(clip.large[LARGE_TICS]), np.array(clip.small[: len(clip.large)][LARGE_TICS])
        flows, strip = true_flows(true), []
        for name, way in [("truth", None), *ways.items()]:
            began = time.process_time()
            made = true if way is None else way(small)
            row = _row(made, true, time.process_time() - began)
            row |= {"sharpness": float(sharpness(made, true).mean()), "warp error": float(warp_error(made, flows).mean()),
                    "flicker": float(flicker(made, true, flows).mean())}
            rows[name].append(row)
            strip.append(made[1][96:288, 160:480])
        shown.append(np.concatenate(strip[1:] + strip[:1], axis=1))
    cv2.imwrite(str(picture), np.concatenate(shown[:: max(1, len(shown) // SHOWN)][:SHOWN])[..., ::-1])
    return {name: {key: float(np.mean([row[key] for row in found])) for key in found[0]} for name, found in rows.items()}


def _row(made: np.ndarray, true: np.ndarray, seconds: float) -> Row:
    row = {"PSNR": float(psnr(made, true).mean()), "LPIPS": float(lpips(made, true).mean())}
    return row | ({"frames/s": len(made) / seconds} if seconds > 1e-3 else {"frames/s": float("nan")})


def _markdown(table: dict[str, Row]) -> str:
    columns = list(next(iter(table.values())))
    rows = [f"| | {' | '.join(columns)} |", "|" + " --- |" * (len(columns) + 1)]
    digits = {"LPIPS": 4, "frames/s": 1, "sharpness": 2}
    for name, row in table.items():
        cells = ["–" if np.isnan(row[key]) else f"{row[key]:.{digits.get(key, 2)}f}" for key in columns]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)
