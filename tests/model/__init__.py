"""Tests of tv2tv_core.model."""
