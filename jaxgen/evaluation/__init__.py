"""Measures of generative models."""
