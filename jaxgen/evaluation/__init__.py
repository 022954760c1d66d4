"""Measures generative models from outside."""
