"""Training of a learner: scans over steps, populations, sharding and checkpoints."""
