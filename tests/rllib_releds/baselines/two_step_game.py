"""The two-step matrix game of the QMIX paper (Rashid et al. 2018, Section 5), told in the terms of the road network.

Two agents act twice. The first action of agent 0 decides which game comes next. In game A every joint action pays 7; in
game B it pays 0, or 1 if one agent plays 1, or 8 if both do. The best team takes game B and gets 8, which a sum of
independent values cannot see: it settles for the safe 7.

The three situations are the "junctions" 0, 1 (game A) and 2 (game B), with two "roads" each.
"""

from collections.abc import Callable

import numpy as np

from rllib_releds.algorithm.joint import JointSteps
from rllib_releds.algorithm.rollouts import Rollout
from sumo_marl_env import AgentTrajectory, Episode, Exit, Trip

START, GAME_A, GAME_B = range(3)
PAYOFF_B = np.array([[0.0, 1.0], [1.0, 8.0]])

TABLES = {
    "junction_xy": np.array([[0.0, 0.0], [500.0, 0.0], [0.0, 500.0]], np.float32),
    "slot_ends": np.array([[1, 2], [0, 0], [0, 0]]),
    "slot_free_flow_s": np.full((3, 2), 10.0, np.float32),
    # Edge k ends at junction k: the state shows the situation as the edge that both agents are on.
    "edge_ends": np.array([0, 1, 2]),
}

Act = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(2, 6) observations and (2, 2) masks of both agents -> (2,) actions."""


def observation(situation: int) -> np.ndarray:
    ends = TABLES["slot_ends"][situation]
    return np.array([situation, 0, 1.0, ends[0], 1.0, ends[1]], np.float32)


def state(situation: int) -> np.ndarray:
    return np.array([situation, 0, 0.5, 1.0] * 2 + [1.0] * 3, np.float32)


def payoff(first: np.ndarray, second: np.ndarray) -> float:
    return 7.0 if first[0] == 0 else float(PAYOFF_B[second[0], second[1]])


def play(act: Act, *, is_blind: bool = False) -> tuple[Rollout, float]:
    """One game, and what it paid; blind agents see the start all the time, while the state tells the truth."""
    masks = np.ones((2, 2), np.int8)
    first = act(np.stack([observation(START)] * 2), masks)
    situations = [START, GAME_A if first[0] == 0 else GAME_B, START]
    seen = [observation(START if is_blind else situation) for situation in situations]
    second = act(np.stack([seen[1]] * 2), masks)
    paid = payoff(first, second)
    actions = np.stack([first, second])
    rewards = np.array([[0.0, 0.0], [paid, paid]], np.float32)
    trajectories = tuple(
        AgentTrajectory(
            trip=Trip(f"vehicle_{agent}", 1, 0, 0),
            observations=np.stack(seen[:2]),
            action_masks=np.stack([masks[0]] * 2),
            actions=actions[:, agent],
            rewards=rewards[:, agent],
            decision_steps=np.arange(2),
            decision_times_s=np.arange(2),
            junctions=np.array(situations),
            exit=Exit.ARRIVED,
            travel_time_s=2.0,
        )
        for agent in range(2)
    )
    rollout = Rollout(
        episode=Episode("two-step game", 0, trajectories, rewards, np.arange(2)),
        final_observations=np.stack([observation(START)] * 2),
        final_masks=masks,
        simulation_wall_s=0.0,
        joint=JointSteps(
            states=np.stack([state(situation) for situation in situations]),
            observations=np.stack([np.stack([one] * 2) for one in seen]),
            action_masks=np.stack([masks] * 3),
            is_live=np.array([[True, True], [True, True], [False, False]]),
            actions=actions,
        ),
    )
    return rollout, paid
