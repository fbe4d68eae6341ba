"""A tiny recorded world that all data tests share: two training episodes and one of each held-out split."""
from pathlib import Path

import pytest

from tv2tv_core.data import recorder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a world with episodes of 14 chunks."""
    root = tmp_path_factory.mktemp("arena")
    recorder.record_world(root, 28, seed=3, maps=("f1:E1M5",), heldout=1, heldout_map=1, episode_chunks=14)
    return root
