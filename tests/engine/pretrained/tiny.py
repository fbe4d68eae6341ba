"""Tiny random pipelines of the real diffusers classes and a tiny chat model, saved to folders as a download would be."""

from __future__ import annotations

from pathlib import Path

import diffusers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

SIZE = {
    "WanVACEPipeline": (32, 32),
    "LTXConditionPipeline": (64, 32),
    "SkyReelsV2DiffusionForcingVideoToVideoPipeline": (32, 32),
    "WanImageToVideoPipeline": (32, 32),
    "HeliosPyramidPipeline": (64, 64),
}
"""Width and height that each pipeline is tested with."""
FRAMES = {  # new frames, frames of the past
    "WanVACEPipeline": (8, 5),
    "LTXConditionPipeline": (8, 9),
    "SkyReelsV2DiffusionForcingVideoToVideoPipeline": (8, 5),
    "WanImageToVideoPipeline": (8, 1),
    "HeliosPyramidPipeline": (33, 33),
}
_WAN = {"patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 16, "out_channels": 16,
        "text_dim": 16, "freq_dim": 32, "ffn_dim": 16, "num_layers": 2, "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads"}  # fmt: skip


def save_pipeline(name: str, folder: Path) -> Path:
    """A random pipeline of the class `name`, as `from_pretrained` finds it; the same bytes every time."""
    torch.manual_seed(0)
    parts = {"text_encoder": _text_encoder(), "tokenizer": _tokenizer(), **_BUILD[name]()}
    kind = getattr(diffusers, name)
    kind(**parts).save_pretrained(folder, safe_serialization=True)
    return folder


def save_language_model(folder: Path) -> Path:
    """A random causal language model over a few words, with a chat template."""
    words = ["<pad>", "<end>", "<unk>", "a", "the", "fox", "cat", "walks", "runs", "sits", "KEEP", "left", "right", "slowly",
             "camera", "follows", "snow", ".", ","]  # fmt: skip
    words += [f"word{i}" for i in range(45)]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", pad_token="<pad>", unk_token="<unk>")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' <end> ' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant' }}{% endif %}"
    )
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                         num_key_value_heads=1, max_position_embeddings=4096, eos_token_id=1)  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_preset(
    folder: Path, pipeline: str, renderer: Path, planner: Path, more: str = "", new: int | None = None, steps: int = 3
) -> Path:
    """A preset file over such folders; `more`: further lines of its renderer section, `new`: its frames per chunk."""
    (width, height), (few, past) = SIZE[pipeline], FRAMES[pipeline]
    place = folder / f"tiny-{pipeline.lower()}.yaml"
    place.write_text(f"""title: Tiny {pipeline}
renderer:
  pipeline: {pipeline}
  path: {renderer}
  width: {width}
  height: {height}
  fps: 16
  chunk_frames: {new or few}
  history_frames: {past}
{more}planner:
  path: {planner}
settings:
  steps: {steps}
  guidance: 2.0
licence: none
""")
    return place


def _text_encoder() -> UMT5EncoderModel:
    return UMT5EncoderModel(UMT5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))


def _tokenizer() -> T5Tokenizer:
    letters = [(f"▁{c}", -3.0) for c in "abcdefghij"] + [(c, -2.0) for c in "▁abcdefghijklmnopqrstuvwxyz.,"]
    return T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters], extra_ids=0)


def _wan_codec() -> diffusers.AutoencoderKLWan:
    return diffusers.AutoencoderKLWan(base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
                                      temperal_downsample=[False, True, True])  # fmt: skip


def _unipc() -> diffusers.UniPCMultistepScheduler:
    return diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


def _wan_vace() -> dict[str, object]:
    transformer = diffusers.WanVACETransformer3DModel(**_WAN, rope_max_seq_len=32, vace_layers=[0], vace_in_channels=96)
    return {"vae": _wan_codec(), "scheduler": _unipc(), "transformer": transformer}


def _skyreels() -> dict[str, object]:
    transformer = diffusers.SkyReelsV2Transformer3DModel(**_WAN, rope_max_seq_len=32)
    return {"vae": _wan_codec(), "scheduler": _unipc(), "transformer": transformer}


def _wan_image() -> dict[str, object]:
    """Like the 5B checkpoint: the first frame enters by its timestep."""
    transformer = diffusers.WanTransformer3DModel(**_WAN, rope_max_seq_len=32)
    return {"vae": _wan_codec(), "scheduler": _unipc(), "transformer": transformer, "expand_timesteps": True}


def _helios() -> dict[str, object]:
    """Like the distilled checkpoint."""
    transformer = diffusers.HeliosTransformer3DModel(
        **_WAN, rope_dim=(4, 4, 4), has_multi_term_memory_patch=True, guidance_cross_attn=True, zero_history_timestep=True,
        is_amplify_history=False,
    )  # fmt: skip
    return {"vae": _wan_codec(), "scheduler": diffusers.HeliosDMDScheduler(),
            "transformer": transformer, "is_distilled": True}  # fmt: skip


def _ltx() -> dict[str, object]:
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, patch_size=1, patch_size_t=1, num_attention_heads=2, attention_head_dim=8,
        cross_attention_dim=16, num_layers=2, caption_channels=16,
    )  # fmt: skip
    vae = diffusers.AutoencoderKLLTXVideo(
        in_channels=3, out_channels=3, latent_channels=8, block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8), layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, True, False), decoder_spatio_temporal_scaling=(True, True, True, False),
        decoder_inject_noise=(False,) * 5, upsample_residual=(False,) * 4, upsample_factor=(1, 1, 1, 1),
        timestep_conditioning=False, patch_size=4, patch_size_t=1, encoder_causal=True, decoder_causal=False,
    )  # fmt: skip
    config = T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    return {"vae": vae, "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(), "transformer": transformer,
            "text_encoder": T5EncoderModel(config)}  # fmt: skip


_BUILD = {
    "WanVACEPipeline": _wan_vace,
    "LTXConditionPipeline": _ltx,
    "SkyReelsV2DiffusionForcingVideoToVideoPipeline": _skyreels,
    "WanImageToVideoPipeline": _wan_image,
    "HeliosPyramidPipeline": _helios,
}
