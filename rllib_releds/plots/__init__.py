"""Figures: one function each, from a table or records to a matplotlib Figure. The only importers of matplotlib."""
