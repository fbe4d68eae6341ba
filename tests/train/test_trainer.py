"""A run that is killed and resumed equals one that was not; accumulation equals a bigger batch; clean stops."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.tiny_task import TinyTask, config
from tv2tv_core.errors import InputError, StorageError, TV2TVError, WeightsError
from tv2tv_core.train import run_state
from tv2tv_core.train.metrics_log import MetricsLog
from tv2tv_core.train.trainer import ParameterGroup, TrainConfig, Trainer, generators


@pytest.fixture(autouse=True)
def keep_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def final_tensors(run: Path) -> dict[str, torch.Tensor]:
    tensors, scalars = run_state.read_checkpoint(run_state.checkpoints(run / "checkpoints")[-1])
    assert scalars["step"] == 20
    return tensors


def exact_rows(run: Path) -> list[dict]:
    rows = MetricsLog(run / "metrics.jsonl").rows()
    return [{k: v for k, v in row.items() if k != "clock"} for row in rows if row["kind"] != "config"]


def assert_same_run(one: Path, two: Path) -> None:
    a, b = final_tensors(one), final_tensors(two)
    assert a.keys() == b.keys() and {name.split(".")[0] for name in a} == {"model", "ema", "optimizer"}
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert exact_rows(one) == exact_rows(two)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert Trainer(TinyTask(), config(), folder).run().reason == "finished"
    return folder


@pytest.mark.parametrize("die_at", [1, 7, 13])
def test_a_raised_and_resumed_run_equals_an_unbroken_one(whole, tmp_path, die_at):
    with pytest.raises(RuntimeError, match="power cut"):
        Trainer(TinyTask(die_at=die_at), config(), tmp_path).run()
    assert Trainer(TinyTask(), config(), tmp_path).run().step == 20
    assert_same_run(whole, tmp_path)


def test_a_run_resumed_from_an_older_checkpoint_repeats_what_followed(whole, tmp_path):
    with pytest.raises(RuntimeError):
        Trainer(TinyTask(die_at=9), config(), tmp_path).run()
    newest = run_state.checkpoints(tmp_path / "checkpoints")[-1]
    (newest / run_state.SCALARS).unlink()
    Trainer(TinyTask(), config(), tmp_path).run()
    assert_same_run(whole, tmp_path)


def test_a_sigkilled_process_resumes_exactly(whole, tmp_path):
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": str(here.parents[1])}
    killed = subprocess.run(
        [sys.executable, str(here / "tiny_task.py"), str(tmp_path), "11"], env=environment, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert run_state.checkpoints(tmp_path / "checkpoints")
    Trainer(TinyTask(), config(), tmp_path).run()
    assert_same_run(whole, tmp_path)


def test_a_kill_after_the_last_checkpoint_still_ends_with_figures_and_a_sheet(whole, tmp_path):
    class Late(TinyTask):
        def validate(self, step):
            return self.die() if step == 20 else super().validate(step)

    with pytest.raises(RuntimeError):
        Trainer(Late(), config(validate_every=3), tmp_path).run()
    assert run_state.checkpoints(tmp_path / "checkpoints")[-1].name == "step_00000020"
    Trainer(TinyTask(), config(validate_every=3), tmp_path).run()
    assert exact_rows(tmp_path)[-1]["kind"] == "valid" and exact_rows(tmp_path)[-1]["step"] == 20
    assert (tmp_path / "sheets" / "step_00000020.png").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_checkpoints_and_stops_and_the_rest_is_the_same(whole, tmp_path, number):
    class Signalled(TinyTask):
        def die(self):
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    outcome = Trainer(Signalled(die_at=8), config(checkpoint_minutes=0.0), tmp_path).run()
    assert outcome.reason == "stopped" and outcome.step == 9
    assert signal.getsignal(number) == before
    Trainer(TinyTask(), config(), tmp_path).run()
    assert_same_run(whole, tmp_path)


def test_a_run_resumes_exactly_in_any_memory_order(tmp_path):
    """The optimiser's moments lie in memory as their parameters do; mixed up, each weight would move by another's."""

    class Convolving(TinyTask):
        name = "convolving"

        def __init__(self):
            super().__init__(norm=False, dropout=0.0)
            self.net = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)

        def loss(self, step, micro, rng, numpy_rng):
            return (self.net(torch.randn(2, 3, 8, 8, generator=rng)) - 1).square().mean(), {}

        def validate(self, step):
            return {}

    whole = Trainer(Convolving(), config(steps=6, cooldown=0), tmp_path / "a")
    whole.run()
    Trainer(Convolving(), config(steps=3, cooldown=0), tmp_path / "b").run()
    second = Trainer(Convolving(), config(steps=6, cooldown=0), tmp_path / "b")
    second.run()
    assert torch.equal(whole.module.weight, second.module.weight)


def test_every_micro_batch_has_its_own_data_and_the_seed_decides(tmp_path):
    runs = []
    for seed, folder in ((3, "a"), (3, "b"), (4, "c")):
        task = TinyTask()
        Trainer(task, config(steps=3, micro_batches=2, seed=seed), tmp_path / folder).run()
        runs.append(torch.stack(task.seen))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    assert len({batch.numpy().tobytes() for batch in runs[0]}) == 6


def test_accumulated_gradients_equal_one_bigger_batch(tmp_path):
    class Together(TinyTask):
        """The three micro batches of a step in one."""

        def loss(self, step, micro, rng, numpy_rng):
            losses = [super(Together, self).loss(step, part, *generators(3, step, part))[0] for part in range(3)]
            return torch.stack(losses).mean(), {}

    settings = {"steps": 6, "validate_every": 0}
    small, big = TinyTask(dropout=0.0, norm=False), Together(dropout=0.0, norm=False)
    Trainer(small, config(micro_batches=3, **settings), tmp_path / "small").run()
    Trainer(big, config(**settings), tmp_path / "big").run()
    for a, b in zip(small.net.parameters(), big.net.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_weight_decay_touches_matrices_only_and_groups_scale_the_rate(tmp_path):
    class Still(TinyTask):
        """Gradients are exactly zero: only decay can move anything."""

        def parameter_groups(self):
            first, *_, last = self.net
            return [
                ParameterGroup(list(first.parameters())),
                ParameterGroup(list(last.parameters()), lr_scale=0.5),
            ]

        def loss(self, step, micro, rng, numpy_rng):
            return self.net(torch.zeros(2, 6)).sum() * 0.0, {}

    task = Still(norm=False, dropout=0.0)
    before = {name: value.clone() for name, value in task.net.state_dict().items()}
    Trainer(task, config(steps=1, warmup=0, cooldown=0.0, weight_decay=0.1, lr=0.1), tmp_path).run()
    after = task.net.state_dict()
    torch.testing.assert_close(after["0.weight"], before["0.weight"] * 0.99)
    torch.testing.assert_close(after["4.weight"], before["4.weight"] * 0.995)
    assert torch.equal(after["0.bias"], before["0.bias"]) and torch.equal(after["4.bias"], before["4.bias"])


def test_frozen_parameters_are_neither_saved_nor_changed(tmp_path):
    task = TinyTask()
    task.net[0].requires_grad_(False)
    before = task.net[0].weight.clone()
    Trainer(task, config(), tmp_path).run()
    assert torch.equal(task.net[0].weight, before)
    assert not any(".0." in name for name in final_tensors(tmp_path))


def test_a_step_with_non_finite_gradients_changes_nothing_and_many_end_the_run(tmp_path):
    class Broken(TinyTask):
        def loss(self, step, micro, rng, numpy_rng):
            loss, values = super().loss(step, micro, rng, numpy_rng)
            return (loss * float("nan"), values) if step >= 2 else (loss, values)

    task = Broken(norm=False)
    trainer = Trainer(task, config(steps=50), tmp_path)
    with pytest.raises(TV2TVError, match="diverged"):
        trainer.run()
    assert trainer.progress.updates == 2
    assert all(torch.isfinite(value).all() for value in task.net.state_dict().values())


def test_only_the_last_two_checkpoints_stay_and_no_temporary_folder(whole):
    assert [path.name for path in sorted((whole / "checkpoints").iterdir())] == ["step_00000019", "step_00000020"]


def test_init_from_takes_what_fits_from_the_average_of_another_run(whole, tmp_path):
    task = TinyTask()
    task.net[4] = torch.nn.Linear(16, 3)
    task.true = torch.randn(6, 3)
    trainer = Trainer(task, config(), tmp_path, init_from=whole)
    trainer._start()
    assert torch.equal(task.net[0].weight, final_tensors(whole)["ema.0.weight"])
    report = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])["init_report"]
    assert set(report["mismatched"]) == {"4.weight", "4.bias"} and report["loaded"] == 7
    with pytest.raises(WeightsError):
        Trainer(TinyTask(), config(), tmp_path / "new", init_from=tmp_path / "nothing").run()


def test_another_seed_or_task_or_model_in_the_same_folder_is_refused(whole):
    with pytest.raises(InputError, match="seed=3, got 4"):
        Trainer(TinyTask(), config(seed=4), whole).run()
    other = TinyTask()
    other.name = "other"
    with pytest.raises(InputError, match="holds a run of tiny"):
        Trainer(other, config(), whole).run()
    wider = TinyTask()
    wider.net[4] = torch.nn.Linear(16, 3)
    with pytest.raises(InputError, match="another model"):
        Trainer(wider, config(), whole).run()


def test_a_finished_run_can_go_on_with_more_steps(whole, tmp_path):
    Trainer(TinyTask(), config(), tmp_path).run()
    assert Trainer(TinyTask(), config(), tmp_path).run().step == 20
    assert Trainer(TinyTask(), config(steps=24), tmp_path).run().step == 24


def test_a_time_box_cools_down_and_ends(tmp_path):
    ticks = config(steps=0, minutes=0.004, cooldown=0.4, floor=0.1, validate_every=0, log_every=1)
    assert Trainer(TinyTask(), ticks, tmp_path).run().reason == "finished"
    rates = [row["lr"] for row in exact_rows(tmp_path) if row["kind"] == "train"]
    assert rates[-1] == pytest.approx(0.1 * 0.02, rel=0.01) and max(rates) == pytest.approx(0.02)


def test_sheets_are_pictures_of_the_step(tmp_path):
    from PIL import Image

    Trainer(TinyTask(), config(sheet_minutes=1e-9), tmp_path).run()
    picture = np.asarray(Image.open(tmp_path / "sheets" / "step_00000007.png"))
    assert picture.shape == (4, 6, 3) and (picture == 7).all()


def test_a_disk_that_refuses_leaves_the_earlier_checkpoint(tmp_path):
    run_state.write_checkpoint(tmp_path, 1, {"a": torch.ones(2)}, {})
    (tmp_path / ".tmp_00000002").write_text("in the way")
    with pytest.raises(StorageError, match="step 2"):
        run_state.write_checkpoint(tmp_path, 2, {"a": torch.zeros(2)}, {})
    tensors, _ = run_state.read_checkpoint(run_state.checkpoints(tmp_path)[-1])
    assert torch.equal(tensors["a"], torch.ones(2))


@pytest.mark.parametrize("wrong", [{}, {"steps": 5, "schedule": "step"}, {"minutes": 1, "schedule": "cosine"}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InputError):
        TrainConfig(**wrong)
