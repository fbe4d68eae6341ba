"""Interleaved training data: the arena recorder, replay, true futures, shards."""
