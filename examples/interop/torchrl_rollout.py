"""TorchRL: the environment behind PettingZooWrapper, checked against its specs, and whole episodes as TensorDicts.

Shows:   which arguments the wrapper needs for agents that leave (`use_mask`, `done_on_any=False`), that TorchRL's own
         random policy respects the action masks, and where the reward of an episode is.
Run:     python examples/interop/torchrl_rollout.py      (--smoke: one short episode)
Expect:  "check_env_specs succeeded!", one line per episode, and a line that begins with "result:".
"""

import sys
import time

import torch
from torchrl.envs.libs.pettingzoo import PettingZooWrapper
from torchrl.envs.utils import check_env_specs

import sumo_marl_env

SMOKE = "--smoke" in sys.argv
EPISODES = 1 if SMOKE else 5
MAX_STEPS = 10_000

routing_env = sumo_marl_env.parallel_env(scenario="gridtown", num_agents=4 if SMOKE else 10)
env = PettingZooWrapper(
    # TorchRL turns every entry of the infos into a tensor, so it gets the entries that are numbers.
    sumo_marl_env.numeric_infos(routing_env),
    use_mask=True,  # agents leave when they arrive: ("vehicle", "mask") says who is there
    done_on_any=False,  # the episode goes on until the last agent has left
    return_state=True,
)
check_env_specs(env)
torch.manual_seed(0)  # of the random policy
env.set_seed(0)  # of the traffic
steps, rewards, began = 0, [], time.perf_counter()
for episode in range(EPISODES):
    rollout = env.rollout(MAX_STEPS)
    agents = rollout["next", "vehicle"]
    assert rollout["next", "done"][-1].item(), "the episode was cut off"
    invalid = int((agents["info", "invalid_action"] * agents["mask"]).sum())
    assert invalid == 0, f"{invalid} masked-out actions"
    reward = agents["reward"].sum(0).mean().item()
    arrived = agents["info", "arrived"].amax(0).mean().item()
    steps += len(rollout)
    rewards.append(reward)
    print(f"episode {episode}: {len(rollout)} steps, mean reward {reward:.0f}, {arrived:.0%} arrived")
seconds = time.perf_counter() - began
env.close()
print(f"result: random masked policy, mean reward {sum(rewards) / EPISODES:.0f}, {steps / seconds:.0f} steps/s")
