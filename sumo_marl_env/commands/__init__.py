"""Parts of `sumo-marl` (`sumo_marl_env.cli` is the command), and what `doctor` checks."""
