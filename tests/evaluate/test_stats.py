"""Intervals: Wilson's values, and a bootstrap that resamples groups rather than values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tv2tv_core.evaluate.stats import clustered, wilson


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share(counts: tuple[int, int]) -> None:
    correct, trials = counts
    low, high = wilson(correct, trials)
    assert 0 <= low <= correct / trials + 1e-9 and correct / trials - 1e-9 <= high <= 1
    wider = wilson(correct, trials)[1] - wilson(correct, trials)[0]
    assert wilson(4 * correct, 4 * trials)[1] - wilson(4 * correct, 4 * trials)[0] < wider
    assert (low, high) == pytest.approx(tuple(1 - end for end in wilson(trials - correct, trials)[::-1]))


def test_the_interval_has_wilsons_values() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_values_of_one_group_count_together() -> None:
    """Ten groups of ten equal values are ten values, not a hundred."""
    values = [float(group % 2) for group in range(10) for _ in range(10)]
    together = clustered(values, [group for group in range(10) for _ in range(10)])
    alone = clustered(values, range(100))
    assert together.mean == alone.mean == 0.5 and (together.n, together.groups) == (100, 10)
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_nothing_has_no_mean_and_one_group_falls_back_to_values() -> None:
    assert clustered([], []) is None
    found = clustered([0.0, 1.0, 1.0], ["a"] * 3)
    assert found.mean == pytest.approx(2 / 3) and found.low < found.mean < found.high
