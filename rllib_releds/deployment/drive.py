"""Drive one vehicle by its exported policy, with onnxruntime and sumo_marl_env alone; the others follow live traffic.

Run:     python drive.py [AGENT]
Expect:  one line when the vehicle can make its first decision, and one when its trip is over.
"""

import json
import sys
from pathlib import Path

import onnxruntime

import sumo_marl_env

folder = Path(__file__).resolve().parent
manifest = json.loads((folder / "manifest.json").read_text())
mine = sys.argv[1] if len(sys.argv) > 1 else next(iter(manifest["agents"]))
if mine not in manifest["agents"]:
    sys.exit(f"usage: python drive.py [AGENT]; there is no agent {mine!r}; agents: {', '.join(manifest['agents'])}")
policy = onnxruntime.InferenceSession(folder / manifest["agents"][mine]["policy"])
env = sumo_marl_env.parallel_env(folder / manifest["scenario"])


def decide(agent: str) -> int:
    if agent != mine:
        navigator = env.navigator(agent)
        return navigator.action_by_shortest_time(navigator.get_destination())
    (probabilities,) = policy.run(None, {name: array[None] for name, array in env.observe(mine).items()})
    return int(probabilities[0].argmax())  # in training actions are drawn from the probabilities


env.reset(seed=0)
print(f"{mine} drives to junction {manifest['agents'][mine]['destination']}", flush=True)
while mine in env.agents:
    env.step({agent: decide(agent) for agent in env.deciders})
info = env.info(mine)
print(f"{mine}: {info['exit']} after {info['travel_time_s']:.0f} s")
env.close()
