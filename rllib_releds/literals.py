"""Settings that take one of a few words."""

from typing import Literal

EncoderName = Literal["combined", "features", "one_hot", "raw"]
"""What the networks read of an observation (see `rllib_releds.algorithm.encoder`)."""

ExpertAdvantage = Literal["agent_value", "paper", "behaviour_cloning"]
"""How demonstrated actions are judged (see `rllib_releds.algorithm.connectors`)."""
