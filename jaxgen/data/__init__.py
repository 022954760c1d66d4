"""Image sets as arrays: `load(name, split) -> Batch`."""
