"""Demonstrations on disk, and what `reled demos` does with them.

store, stored   writes, and reads, the files of each cycle
replaying       a stored cycle carried out again
making          cycles without training, into a folder
summaries       stored cycles in a few figures
table, published    Table III, beside the paper's numbers
"""
