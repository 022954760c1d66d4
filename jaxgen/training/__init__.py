"""Runs a learner: epochs as scans, checkpoints."""
