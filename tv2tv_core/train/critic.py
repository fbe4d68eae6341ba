"""A patch critic: judges whether what the stem drew looks like footage, so that it draws texture instead of an average."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

WIDTHS = (48, 96, 192)
SLOPE = 0.2


class PatchCritic(nn.Module):
    """Logits per patch of about 20 pixels (PatchGAN, arXiv 1611.07004) of a chunk beside its motion-compensated history.

    It only sees chunks in which the trusted part is the history itself, so nothing but the drawn part can tell.
    """

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        inputs = 2 * channels + frames
        first, second, third = WIDTHS
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, first, 4, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(first, second, 4, 2, 1),
            nn.GroupNorm(8, second),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(second, third, 3, 1, 1),
            nn.GroupNorm(8, third),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(third, 1, 3, 1, 1),
        )

    def forward(self, chunk: Tensor, warped: Tensor, trust: Tensor) -> Tensor:
        """chunk, warped [B, C, H, W] in [-1, 1], trust [B, F, H, W] in [0, 1] → logits [B, 1, H/4, W/4]."""
        return self.layers(torch.cat((chunk, warped, trust), 1))


def adversarial_losses(critic: PatchCritic, made: Tensor, truth: Tensor, guide: tuple[Tensor, Tensor]
                       ) -> tuple[Tensor, Tensor]:
    """(loss of what made the chunk, hinge loss of the critic); each moves only its own side, so one step serves both.

    made, truth [B, C, H, W]; guide: warped and trust. Patches count by how much of them is drawn.
    """
    warped, trust = guide
    share = trust.repeat_interleave(truth.shape[1] // trust.shape[1], 1)
    truth = share * warped + (1 - share) * truth
    frozen = {name: value.detach() for name, value in critic.named_parameters()}
    fooled = functional_call(critic, frozen, (made, warped, trust))
    drawn = F.adaptive_avg_pool2d(1 - trust.mean(1, keepdim=True), fooled.shape[-2:])
    drawn = drawn / drawn.mean().clamp(min=1e-3)
    judged = critic(torch.cat((truth, made.detach())), warped.repeat(2, 1, 1, 1), trust.repeat(2, 1, 1, 1))
    real, false = judged.float().chunk(2)
    of_critic = (drawn * (F.relu(1 - real) + F.relu(1 + false))).mean()
    return -(drawn * fooled.float()).mean(), of_critic
