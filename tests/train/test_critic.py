"""The patch critic: it can tell texture from an average, and one step moves each side by its own loss alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tv2tv_core.model.config import ModelConfig
from tv2tv_core.model.tv2tv import TV2TV
from tv2tv_core.train.critic import PatchCritic, adversarial_losses


def parts(seed: int = 0) -> tuple[PatchCritic, torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(seed)
    truth = torch.rand(4, 12, 48, 80) * 2 - 1
    made = F.avg_pool2d(truth, 3, 1, 1).requires_grad_(True)
    return PatchCritic(12, 4), made, truth, (torch.zeros_like(truth), torch.zeros(4, 4, 48, 80))


def test_each_loss_moves_its_own_side_alone():
    critic, made, truth, guide = parts()
    of_model, of_critic = adversarial_losses(critic, made, truth, guide)
    of_model.backward()
    assert made.grad is not None and made.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in critic.parameters())
    made.grad = None
    of_critic.backward()
    assert made.grad is None
    assert all(parameter.grad is not None for parameter in critic.parameters())


def test_it_learns_to_tell_an_average_from_texture():
    critic, made, truth, guide = parts()
    optimizer = torch.optim.Adam(critic.parameters(), 2e-3)
    losses = []
    for _ in range(40):
        _, loss = adversarial_losses(critic, made.detach(), truth, guide)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.8 and losses[-1] < 0.5


def test_where_everything_is_copied_there_is_nothing_to_tell():
    """Truth is shown with the copied part in its place: with full trust both sides are the same picture."""
    critic, _, truth, _ = parts()
    warped, trust = torch.rand_like(truth), torch.ones(4, 4, 48, 80)
    _, same = adversarial_losses(critic, warped, truth, (warped, trust))
    _, other = adversarial_losses(critic, warped, torch.zeros_like(truth), (warped, trust))
    assert torch.equal(same, other)


def test_a_model_for_use_has_no_critic():
    with torch.device("meta"):
        assert not [name for name in TV2TV(ModelConfig()).state_dict() if "critic" in name]
