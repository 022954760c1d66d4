"""The runner turns a recipe and its options into a run, and opens runs again."""
