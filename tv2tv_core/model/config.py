"""The architecture as data: everything that travels with the weights, and nothing that does not."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tv2tv_core.errors import WeightsError


@dataclass(frozen=True)
class RopeScaling:
    """Llama 3's long-context rescaling of rotary frequencies (Llama 3.1 model card); lengths in tokens."""

    factor: float = 8.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context: int = 8192


@dataclass(frozen=True)
class TextConfig:
    """The text tower: a Llama-architecture language model; defaults are SmolLM2-135M's.

    Two ids are added after `vocab`: BOF = vocab, EOF = vocab + 1. `adapter_rank` > 0 adds low-rank adapters to the
    layers from `adapter_from` on (all other pretrained weights stay as they were).
    """

    vocab: int = 49152
    layers: int = 30
    width: int = 576
    ffn: int = 1536
    heads: int = 9
    kv_heads: int = 3
    head_dim: int = 64
    rope_theta: float = 100_000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-5
    tied: bool = True
    eos: int = 2
    adapter_rank: int = 8
    adapter_from: int = 20

    @property
    def bof(self) -> int:
        """Id of the begin-of-frames token."""
        return self.vocab

    @property
    def eof(self) -> int:
        """Id of the end-of-frames token."""
        return self.vocab + 1


@dataclass(frozen=True)
class MotionConfig:
    """Motion-compensated history: a network that predicts how the last frame moves under the plan line.

    `read_layer`: after how many text layers the plan reader takes its states. `widths`: channels per level, from half
    the base resolution downwards; `judge_widths`: the same of the network that judges the moved pixels. Not in the paper:
    it replaces compute; leave it out (None) for the paper's network.
    """

    read_layer: int = 12
    plan_width: int = 256
    queries: int = 4
    widths: tuple[int, ...] = (48, 64, 96, 128)
    judge_widths: tuple[int, ...] = (32, 48)


@dataclass(frozen=True)
class VideoConfig:
    """The video tower and its way in and out.

    `latent_shape` is (channels, rows, columns) of one chunk as the codec gives it; `patch` pixels on a side make one
    token. `every` = n puts a video expert on every n-th text layer; other layers pass video tokens through.
    `text_reads_video_from`: first text layer whose text tokens attend to video (0 in the paper); `gate_start`: what their
    scores start with (0 in the paper; low keeps the pretrained language intact).
    """

    latent_shape: tuple[int, int, int] = (12, 48, 80)
    chunk_frames: int = 4
    patch: int = 8
    stem: Literal["unet", "linear"] = "unet"
    stem_widths: tuple[int, ...] = (96, 128, 192)
    width: int = 256
    ffn: int = 768
    every: int = 5
    text_reads_video_from: int = 20
    gate_start: float = -8.0
    prediction: Literal["clean", "velocity"] = "clean"
    motion: MotionConfig | None = field(default_factory=MotionConfig)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of video tokens in one chunk."""
        return self.latent_shape[1] // self.patch, self.latent_shape[2] // self.patch

    @property
    def tokens(self) -> int:
        """Video tokens per chunk."""
        return self.grid[0] * self.grid[1]


@dataclass(frozen=True)
class ModelConfig:
    """One TV2TV model. `context` is the attention window in chunks, the start chunk included."""

    text: TextConfig = field(default_factory=TextConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    context: int = 8

    def __post_init__(self) -> None:
        _, rows, columns = self.video.latent_shape
        if rows % self.video.patch or columns % self.video.patch:
            raise ValueError(f"latent of {rows}x{columns} does not divide into patches of {self.video.patch}")
        if self.text.layers % self.video.every:
            raise ValueError(f"video experts on every {self.video.every}th of {self.text.layers} layers leave a rest")

    def has_expert(self, layer: int) -> bool:
        """Whether text layer `layer` (from 0) has a video expert beside it; the last layer always has one."""
        return (layer + 1) % self.video.every == 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able form."""
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> ModelConfig:
        """Inverse of `to_dict`; raises WeightsError on unknown or ill-typed fields."""
        try:
            text, video = dict(data["text"]), dict(data["video"])
            if text.get("rope_scaling"):
                text["rope_scaling"] = RopeScaling(**text["rope_scaling"])
            if video.get("motion"):
                motion = dict(video["motion"])
                motion["widths"], motion["judge_widths"] = tuple(motion["widths"]), tuple(motion["judge_widths"])
                video["motion"] = MotionConfig(**motion)
            video["latent_shape"], video["stem_widths"] = tuple(video["latent_shape"]), tuple(video["stem_widths"])
            return ModelConfig(TextConfig(**text), VideoConfig(**video), data["context"])
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"the weights describe a model that this version cannot build ({error}); "
                               "use weights made for this version") from error


LLAMA_3_2_3B = TextConfig(
    vocab=128_256, layers=28, width=3072, ffn=8192, heads=24, kv_heads=8, head_dim=128, rope_theta=500_000.0,
    rope_scaling=RopeScaling(factor=32.0), tied=True, eos=128_001, adapter_rank=0, adapter_from=0,
)
LLAMA_3_1_8B = TextConfig(
    vocab=128_256, layers=32, width=4096, ffn=14_336, heads=32, kv_heads=8, head_dim=128, rope_theta=500_000.0,
    rope_scaling=RopeScaling(), tied=False, eos=128_001, adapter_rank=0, adapter_from=0,
)


def paper_config(text: TextConfig, latent_shape: tuple[int, int, int] = (16, 32, 32)) -> ModelConfig:
    """The paper's network over one of its text towers: a video tower of equal size, a U-Net in and out, no motion."""
    video = VideoConfig(
        latent_shape=latent_shape, patch=4, stem="unet", stem_widths=(512, 1024), width=text.width, ffn=text.ffn,
        every=1, text_reads_video_from=0, gate_start=0.0, prediction="velocity", motion=None,
    )
    return ModelConfig(text, video, context=32)
