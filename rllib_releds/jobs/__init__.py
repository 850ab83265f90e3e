"""Training on a Ray cluster: what `reled submit` sends, how keys travel, and what is checked beforehand."""
