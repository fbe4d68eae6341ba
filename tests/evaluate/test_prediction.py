"""The prediction suite: baselines that do what they say, fair windows, and intervals that hold the mean."""

import json

import numpy as np
import pytest

from tests.evaluate.pictures import pan, wide_picture
from tests.evaluate.recordings import Panning as Recording
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate.metrics import psnr
from tv2tv_core.evaluate.prediction import METRICS, Past, predict_suite, repeat_last_frame, repeat_last_motion


class Panning(Recording):
    """A recording of smaller frames, with a line of its own for every chunk."""

    @classmethod
    def make(cls, chunks: int = 7, speed: int = 2, seed: int = 0, cut: int | None = None) -> "Panning":
        frames = pan(wide_picture(64, 400, seed), chunks, speed, width=96)
        return cls(frames, [f"line {index}" for index in range(chunks)], np.isin(range(chunks), [0, cut or 0]))


def past_of(recording: Panning, chunks: int = 2) -> Past:
    return Past(recording.frames[:chunks], tuple(recording.lines[:chunks]), recording.meta_prompt)


def test_repeat_last_frame_stands_still() -> None:
    recording = Panning.make()
    predicted = repeat_last_frame(past_of(recording), ["stand"] * 3)
    assert predicted.shape == (3, 4, 64, 96, 3) and predicted.dtype == np.uint8
    assert (predicted == recording.frames[1, -1]).all()


def test_repeat_last_motion_keeps_panning() -> None:
    recording = Panning.make()
    predicted = repeat_last_motion(past_of(recording), ["stand"] * 2)
    assert predicted.shape == (2, 4, 64, 96, 3) and predicted.dtype == np.uint8
    seen = np.s_[:, :, :, :70]  # what has not come into view from the right
    still = repeat_last_frame(past_of(recording), ["stand"] * 2)
    truth = recording.frames[2:4][seen]
    assert (psnr(predicted[seen], truth) > psnr(still[seen], truth) + 4).all()


def test_repeat_last_motion_of_a_still_picture_is_that_picture() -> None:
    recording = Panning.make(speed=0)
    assert (repeat_last_motion(past_of(recording), ["stand"]) == recording.frames[2:3]).all()


def test_a_perfect_predictor_beats_the_baselines_everywhere() -> None:
    recordings = [Panning.make(seed=seed) for seed in range(3)]

    def oracle(past: Past, lines: list[str], seed: int) -> np.ndarray:
        first = int(lines[0].split()[1])
        recording = next(one for one in recordings if (one.frames[first - 1] == past.frames[-1]).all())
        assert past.lines == tuple(recording.lines[first - 2 : first]) and past.meta_prompt == "a room"
        return recording.frames[first : first + len(lines)]

    table = predict_suite(oracle, recordings, horizons=(1, 3), n=4, context=2)
    assert table.windows == 4 and table.context == 2
    for horizon in (1, 3):
        assert table.score("model", horizon, "lpips").mean == 0
        still, moving = (table.score(name, horizon, "lpips") for name in ("repeat last frame", "repeat last motion"))
        assert still.mean > moving.mean > 0
        assert all(score.low <= score.mean <= score.high for score in (still, moving))
    still_ahead = [table.score("repeat last frame", horizon, "psnr").mean for horizon in (1, 3)]
    assert still_ahead[0] > still_ahead[1]


def test_the_same_seed_draws_the_same_windows_and_another_seed_others() -> None:
    recordings = [Panning.make(chunks=12, seed=seed) for seed in range(2)]
    first, again, other = (predict_suite(None, recordings, (1,), n=3, seed=seed, context=1) for seed in (1, 1, 2))
    assert first == again and first.scores != other.scores


def test_windows_never_cross_a_cut() -> None:
    recording = Panning.make(chunks=8, cut=4)
    seen = []

    def watcher(past: Past, lines: list[str], seed: int) -> np.ndarray:
        seen.append([*past.lines, *lines])
        return repeat_last_frame(past, lines)

    predict_suite(watcher, [recording], horizons=(1,), n=100, context=2)
    starts = sorted(int(window[0].split()[1]) for window in seen)
    assert starts == [0, 1, 4, 5]


def test_nothing_to_predict_is_said_so() -> None:
    with pytest.raises(InputError, match="chunks without a cut"):
        predict_suite(None, [Panning.make(chunks=3)], horizons=(4,))
    with pytest.raises(InputError, match="at least 1"):
        predict_suite(None, [Panning.make()], horizons=())


def test_a_predictor_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="returned"):
        predict_suite(lambda past, lines, seed: past.frames, [Panning.make()], horizons=(1,), context=2)


def test_the_table_is_data_and_text() -> None:
    table = predict_suite(None, [Panning.make()], horizons=(1, 2), n=1, context=1)
    data = json.loads(json.dumps(table.as_dict()))
    assert len(data["scores"]) == 2 * 2 * len(METRICS)
    assert len(table.markdown().splitlines()) == 2 + 2 * 2
    with pytest.raises(KeyError):
        table.score("model", 1, "lpips")
