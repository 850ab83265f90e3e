"""A small made-up map with two agents, the module on it, and episodes with random content."""

from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
import torch
from made_up import NUM_AGENTS, NUM_JUNCTIONS, NUM_SLOTS, random_observations

from rllib_releds.algorithm.module import RoutingModule
from rllib_releds.algorithm.rollouts import Rollout
from rllib_releds.demonstrations.protocol import DemonstrationTrace, SubsetRollout
from sumo_marl_env import AgentTrajectory, Episode, Exit, Instruction, Trip


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tables() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    ends = rng.integers(0, NUM_JUNCTIONS, (NUM_JUNCTIONS, NUM_SLOTS))
    ends[::2, 2] = -1
    times = np.where(ends >= 0, rng.uniform(5, 60, ends.shape), 0.0)
    return {
        "junction_xy": rng.normal(0, 500, (NUM_JUNCTIONS, 2)).astype(np.float32),
        "slot_ends": ends,
        "slot_free_flow_s": times.astype(np.float32),
        "edge_ends": ends[ends >= 0],
    }


@pytest.fixture
def make_module(tables) -> Callable[..., RoutingModule]:
    def make(encoder: str = "combined", seed: int = 3, **settings) -> RoutingModule:
        return RoutingModule(
            observation_space=gymnasium.spaces.Dict({}),
            action_space=gymnasium.spaces.Discrete(NUM_SLOTS),
            model_config={
                "num_agents": NUM_AGENTS,
                "encoder": encoder,
                "tables": tables,
                "hidden_size": 16,
                "seed": seed,
                "central_critic": False,
                **settings,
            },
        )

    return make


@pytest.fixture
def make_rollout(tables) -> Callable[..., Rollout]:
    def make(lengths=(5, 3, 4), exits=None, seed: int = 0, expert=(), failed=()) -> Rollout:
        """Agent i made lengths[i] decisions; `expert` followed demonstrations, those of `failed` did not work."""
        rng = np.random.default_rng(seed)
        trajectories, finals = [], []
        for agent, length in enumerate(lengths):
            observations, masks = random_observations(rng, tables, agent, length + 1)
            finals.append((observations[-1], masks[-1]))
            trajectories.append(
                AgentTrajectory(
                    trip=Trip(f"vehicle_{agent}", 6, agent, 0),
                    observations=observations[:-1],
                    action_masks=masks[:-1],
                    actions=masks[:-1].argmax(axis=1),
                    rewards=rng.normal(0, 50, length),
                    decision_steps=np.arange(length),
                    decision_times_s=np.arange(length),
                    junctions=np.arange(length + 1) % NUM_JUNCTIONS,
                    exit=(exits or (Exit.ARRIVED,) * len(lengths))[agent],
                    travel_time_s=100.0,
                )
            )
        steps = max(lengths)
        episode = Episode("made_up", seed, tuple(trajectories), np.zeros((steps, len(lengths))), np.arange(steps))
        agents = tuple(f"vehicle_{agent}" for agent in expert)
        subset = SubsetRollout(
            agents=agents,
            episode=episode,
            traces={
                f"vehicle_{agent}": DemonstrationTrace(
                    (Instruction("move_to_by_shortest_path", 3),),
                    np.zeros(lengths[agent], np.int32),
                    error="it broke" if agent in failed else None,
                )
                for agent in expert
            },
            logps={f"vehicle_{agent}": np.zeros(lengths[agent], np.float32) for agent in expert},
        )
        observations, masks = (np.array(column) for column in zip(*finals, strict=True))
        return Rollout(episode, observations, masks, 0.0, expert=subset if expert else None)

    return make
