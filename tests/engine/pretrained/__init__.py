"""Tests of the pretrained backend, with tiny random pipelines of the real classes."""
