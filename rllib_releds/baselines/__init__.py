"""What RELED is compared with, in the same harness.

IPPO    `RELEDConfig` with `demonstrations=None`
MAPPO   the same with `central_critic=True`
QMIX    `rllib_releds.baselines.qmix`
"""
