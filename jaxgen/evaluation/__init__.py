"""Evaluation of generative models."""
