"""Shares and means with their uncertainty: Wilson's interval, and a bootstrap over groups of values that belong together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000  # bootstrap
COVERAGE = 0.95  # of all intervals
WILSON_Z = 1.96  # 95 %


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; `n` values in `groups` groups that were drawn independently of one another."""

    mean: float
    low: float
    high: float
    n: int
    groups: int


def clustered(values: Sequence[float], groups: Sequence[int] | Sequence[str], seed: int = 0) -> Estimate | None:
    """Mean of `values` and its bootstrap interval; whole groups are resampled, because their values resemble each other.

    With one group alone the values themselves are resampled, which is too sure of itself. None without values.
    """
    if not len(values):
        return None
    known = {name: number for number, name in enumerate(sorted(set(groups)))}  # the order of values must not matter
    group = np.array([known[name] for name in groups])
    if len(known) == 1:
        group = np.arange(len(values))
    found = np.asarray(values, np.float64)
    sums, counts = np.bincount(group, found), np.bincount(group)
    picks = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.quantile(means, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Estimate(float(found.mean()), float(low), float(high), len(found), len(known))


def wilson(correct: float, trials: float) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927), within [0, 1]; all of [0, 1] when nothing was tried."""
    if not trials:
        return 0.0, 1.0
    share, z2 = correct / trials, WILSON_Z**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = WILSON_Z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    # Nothing and everything are exact ends; the formula only comes as near as rounding allows.
    return 0.0 if not correct else middle - half, 1.0 if correct == trials else middle + half
