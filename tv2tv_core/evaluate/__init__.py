"""Measuring: metrics, comparisons with the true future, benchmarks."""
