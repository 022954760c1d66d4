"""Recipes: what a run of a model family consists of."""
