"""Tests of pictures and video in and out."""
