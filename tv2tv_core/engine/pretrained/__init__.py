"""Pretrained models behind the engine's protocol: a language model plans, a diffusers video pipeline draws."""
