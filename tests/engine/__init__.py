"""Tests of the generation loop and of backends."""
