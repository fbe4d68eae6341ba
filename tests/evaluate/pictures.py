"""Pictures for the tests of evaluation: a room of soft blocks, larger than a frame, through which a camera can pan."""

import cv2
import numpy as np


def wide_picture(height: int = 96, width: int = 480, seed: int = 0) -> np.ndarray:
    """A structured picture, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.integers(0, 256, (height // 16, width // 16, 3), np.uint8), (width, height))
    for _ in range(width // 6):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        corner = (x + int(rng.integers(4, 30)), y + int(rng.integers(4, 30)))
        cv2.rectangle(picture, (x, y), corner, [int(level) for level in rng.integers(0, 256, 3)], -1)
    return picture


def pan(picture: np.ndarray, chunks: int, speed: int, start: int = 0, width: int = 160) -> np.ndarray:
    """A camera that moves `speed` pixels to the right per frame, uint8 [chunks, 4, H, width, 3]."""
    frames = [picture[:, start + speed * step : start + speed * step + width] for step in range(4 * chunks)]
    return np.stack(frames).reshape(chunks, 4, picture.shape[0], width, 3)
