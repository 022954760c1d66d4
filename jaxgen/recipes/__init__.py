"""Recipes: the options, evaluation and pictures of a model family's runs."""
