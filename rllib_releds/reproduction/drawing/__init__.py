"""Figures 4 to 9 of the paper, from results of trials to a matplotlib Figure."""
