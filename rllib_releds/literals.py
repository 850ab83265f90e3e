"""What settings may be: one of a few words, or a number up to some limit."""

from typing import Literal

EncoderName = Literal["combined", "features", "one_hot", "raw"]
"""What the networks read of an observation (see `rllib_releds.algorithm.encoder`)."""

ExpertAdvantage = Literal["agent_value", "paper", "behaviour_cloning"]
"""How demonstrated actions are judged (see `rllib_releds.algorithm.connectors`)."""

Surrogate = Literal["ppo", "printed"]
"""How Eq. 29 is read (see `rllib_releds.algorithm.losses`)."""

DTWUnit = Literal["diagonal", "metres"]
"""What the distance of Eq. 30 is measured in: the network's diagonal, per step of the warping path, or metres."""

MAX_SEED = 2**32 - 1
"""The largest that NumPy's and PyTorch's generators both take."""
