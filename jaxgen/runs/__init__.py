"""The files of a run: configuration, metrics, environment and caches."""
