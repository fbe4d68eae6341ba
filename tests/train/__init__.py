"""Tests of tv2tv_core.train."""
