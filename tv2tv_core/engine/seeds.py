"""Seeds as pure functions of (project seed, take, chunk index), so that pausing, batching and resuming change nothing.

Every stream hashes its own name with its arguments: a chunk's noise and the thinking before it never share numbers.
"""

from __future__ import annotations

import hashlib
import json

SEED_LIMIT = 2**63
"""Seeds are integers in [0, SEED_LIMIT): what torch and numpy generators both take without wrapping."""


def noise_seed(seed: int, take: str, index: int) -> int:
    """Seed of the noise from which chunk `index` of `take` is denoised."""
    return _derive("noise", seed, take, index)


def think_seed(seed: int, take: str, index: int) -> int:
    """Seed of the sampling of the plan line before chunk `index` of `take`."""
    return _derive("think", seed, take, index)


def suggest_seed(seed: int, take: str, index: int, attempt: int) -> int:
    """Seed of the `attempt`-th alternative for the plan line before chunk `index` of `take`."""
    return _derive("suggest", seed, take, index, attempt)


def _derive(*parts: str | int) -> int:
    # JSON keeps the parts apart: ("a", 11) and ("a1", 1) must not collide.
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") % SEED_LIMIT
