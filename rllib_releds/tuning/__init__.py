"""Hyperparameter searches through Ray Tune: search spaces, schedulers, and what `reled tune` writes."""
