"""The environment alone, without any learning library: drive every vehicle along the fastest route in live traffic.

Run:     python examples/01_env_alone.py
Expect:  one line per episode; all vehicles arrive, after about eight minutes of simulated time.
"""

import sys

import sumo_marl_env

SMOKE = "--smoke" in sys.argv

env = sumo_marl_env.parallel_env(scenario="gridtown", demand="moderate", num_agents=10)
for seed in range(1 if SMOKE else 3):
    observations, infos = env.reset(seed=seed)
    while env.agents:
        actions = {}
        for agent in env.deciders:  # all others have nothing to decide: their action mask has one entry
            navigator = env.navigator(agent)
            actions[agent] = navigator.action_by_shortest_time(navigator.get_destination())
        observations, rewards, terminations, truncations, infos = env.step(actions)
    episode = env.episode()
    print(f"seed {seed}: mean travel time {episode.mean_travel_time_s:.0f} s, {episode.arrival_rate:.0%} arrived")
env.close()
