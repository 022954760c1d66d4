"""Benchmarks of training steps, populations and streaming."""
