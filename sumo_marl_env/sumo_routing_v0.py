"""The environment as PettingZoo addresses its own: a module with a version, and an entry in its registry.

    from sumo_marl_env import sumo_routing_v0
    env = sumo_routing_v0.parallel_env(num_agents=10)

    import pettingzoo, sumo_marl_env
    env = pettingzoo.make("parallel", "sumo_marl_env/sumo_routing_v0", num_agents=10)

The version changes when results of one version cannot be compared with those of the other.
"""

from __future__ import annotations

import pettingzoo
from pettingzoo import AECEnv
from pettingzoo.utils.conversions import parallel_to_aec_wrapper
from pettingzoo.utils.wrappers import AssertOutOfBoundsWrapper, OrderEnforcingWrapper

from sumo_marl_env.config import EnvConfig, arguments_of
from sumo_marl_env.routing_env import RoutingEnv

__all__ = ["env", "parallel_env", "raw_env"]

NAME = "sumo_marl_env/sumo_routing_v0"


@arguments_of(EnvConfig)
def parallel_env(config: EnvConfig) -> RoutingEnv:
    """Make a routing environment: a PettingZoo `ParallelEnv`. The arguments are the fields of `EnvConfig`.

    Raises:
        RoutingError: saying what is wrong with a setting, a map, a demand or a trip.
    """
    return RoutingEnv.from_config(config)


@arguments_of(EnvConfig)
def raw_env(config: EnvConfig) -> AECEnv:
    """The same as a PettingZoo `AECEnv`, in which one agent acts after the other, without wrappers.

    The simulation advances when the last live agent has acted. Arguments and errors: see `parallel_env`.
    """
    return parallel_to_aec_wrapper(RoutingEnv.from_config(config))


@arguments_of(EnvConfig)
def env(config: EnvConfig) -> AECEnv:
    """`raw_env` with PettingZoo's usual wrappers, which refuse calls in a wrong order and actions out of bounds."""
    return OrderEnforcingWrapper(AssertOutOfBoundsWrapper(parallel_to_aec_wrapper(RoutingEnv.from_config(config))))


if hasattr(pettingzoo, "register"):
    # Since PettingZoo 1.27.
    pettingzoo.register("parallel", NAME, "sumo_marl_env.sumo_routing_v0:parallel_env")
    pettingzoo.register("aec", NAME, "sumo_marl_env.sumo_routing_v0:env")
