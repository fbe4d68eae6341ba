"""Seeds follow from (project seed, take, chunk index) alone."""

from tv2tv_core.engine.seeds import SEED_LIMIT, noise_seed, suggest_seed, think_seed


def test_every_argument_and_every_stream_gives_another_seed() -> None:
    keys = [(seed, take, index) for seed in (0, 1, 11) for take in ("main", "a", "a1") for index in range(20)]
    seeds = [noise_seed(*key) for key in keys] + [think_seed(*key) for key in keys]
    seeds += [suggest_seed(*key, attempt) for key in keys for attempt in range(3)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < SEED_LIMIT for seed in seeds)


def test_seeds_are_the_same_in_every_version() -> None:
    # Projects on disk rely on these numbers: a change here re-renders everybody's clips.
    assert noise_seed(7, "main", 3) == 731620775951623083
    assert think_seed(7, "main", 3) == 8941032736951144237
