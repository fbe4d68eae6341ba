"""The learning rate depends on the step alone and falls where it should."""

from hypothesis import given
from hypothesis import strategies as st

from tv2tv_core.train.schedule import Cooldown, planned_cooldown, rate, timed_cooldown


def test_cosine_rises_to_one_and_ends_at_the_floor():
    rates = [rate(step, "cosine", 100, 10, 0.1, None) for step in range(100)]
    assert rates[9] == 1.0 and rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True) and abs(rates[-1] - 0.1) < 0.01


def test_constant_stays_until_its_cooldown():
    cooldown = planned_cooldown(100, 0.2)
    rates = [rate(step, "constant", 100, 5, 0.05, cooldown) for step in range(100)]
    assert set(rates[5:80]) == {1.0} and abs(rates[-1] - 0.05) < 1e-9
    assert rates[80:] == sorted(rates[80:], reverse=True)


@given(st.integers(1, 10_000), st.floats(0.1, 60), st.floats(0.01, 0.9), st.floats(0, 2))
def test_a_timed_cooldown_starts_in_its_share_of_the_box_and_has_an_end(step, minutes, fraction, part):
    elapsed = part * minutes * 60
    found = timed_cooldown(step, elapsed, minutes, fraction)
    if elapsed < minutes * 60 * (1 - fraction):
        assert found is None
    else:
        assert isinstance(found, Cooldown) and found.start == step and found.stop > step


def test_no_cooldown_when_none_is_asked_for():
    assert planned_cooldown(100, 0.0) is None and timed_cooldown(5, 1e9, 1, 0.0) is None
