"""Figures: one function each, from a table or records to a matplotlib Figure; they know no results of the paper."""
