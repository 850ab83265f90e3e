"""Every name under which training data and results travel: the module id, batch columns, result keys and timers."""

MODULE_ID = "agents"
"""The one RLModule that holds the networks of all agents."""

# Columns of the train batch. Rows are grouped by agent: n agents, B rows each, padded where an agent has fewer.
FEATURES = "features"
"""(n, B, F) float32, the encoded observation."""
JUNCTIONS = "junctions"
"""(n, B) int64, the approached junction."""
ACTION_MASKS = "action_masks"
"""(n, B, m_out) bool, the valid slots."""
STATES = "states"
"""(n, B, S) float32, `RoutingEnv.state()` at each row; only for a central critic."""
OWN_ROWS = "own_rows"
"""(n, B) float32, 1 for the agent's own decisions, else 0."""
EXPERT_ROWS = "expert_rows"
"""(n, B) float32, 1 for demonstrated decisions (`is_expert`), else 0. A row that is neither is padding."""
ADVANTAGES = "advantages"
"""(n, B) float32, Eq. 28 after standardisation."""
VALUE_TARGETS = "value_targets"
"""(n, B) float32, returns (Eq. 26) of scaled rewards, for V^a on own rows and V^e on expert rows."""
AGENT_WEIGHTS = "agent_weights"
"""(n,) float32, the weight of the agent's own loss in Eq. 30."""

# Outputs of the module's training forward pass, beside Columns.ACTION_DIST_INPUTS (n, B, m_out).
AGENT_VALUES = "agent_values"
"""(n, B) V^a."""
EXPERT_VALUES = "expert_values"
"""(n, B) V^e."""

TEAM_VALUES = "team_values"
"""(B, L) QMIX's Q_tot of the executed joint actions."""
NEXT_ACTIONS = "next_actions"
"""(B, L, n) int64, the best action of each agent after each of QMIX's steps."""

# Keys of `timesteps`, the per-epoch data that RLlib hands to `Learner.update`.
EPOCH = "epoch"
"""int, the training epoch, from 0; also a result."""

# Results: `algorithm.train()[RELED]`. Rewards are undiscounted and unscaled, averaged over agents and episodes.
RELED = "reled"
INTERACTION_STEPS = "interaction_steps"
"""Decisions of all agents in this epoch's agent episodes."""
INTERACTION_STEPS_LIFETIME = "interaction_steps_lifetime"
"""The same over all epochs; decisions in expert episodes are not counted."""
EXPERT_STEPS_LIFETIME = "expert_interaction_steps_lifetime"
"""Decisions of all agents in expert episodes, over all epochs."""
EPISODES = "episodes"
"""Agent episodes of this epoch."""
MEAN_REWARD = "mean_reward"
MEAN_TRAVEL_TIME_S = "mean_travel_time_s"
ARRIVAL_RATE = "arrival_rate"
AGENT_WEIGHT = "agent_weight"
"""Mean over agents of the agent's own weight in Eq. 30."""
AGENT_WEIGHT_PER_AGENT = "agent_weight_per_agent"
"""{agent: weight}."""
DTW_M = "dtw_m"
"""Mean over demonstrated agents of the DTW distance between their own and the expert's path, metres."""
DTW_NORMALISED = "dtw_normalised"
"""The same, normalised and multiplied by dtw_scale: the D of the weight rule."""
EXPERT_REWARD = "expert_mean_reward"
EXPERT_TRAVEL_TIME_S = "expert_mean_travel_time_s"
EXPERT_ARRIVAL_RATE = "expert_arrival_rate"
EXECUTION_RATE = "execution_rate"
"""Share of agents whose demonstration ran and brought their vehicle to its destination."""
REWARD_VOLATILITY = "reward_volatility"
"""Largest |reward| of a step in which the agents outside a subset lost more than the bound (Eq. 18); 0 without any."""
REWARD_VOLATILITY_PER_SUBSET = "reward_volatility_per_subset"
"""{subset index: the same of this subset}."""
POLICY_DIVERGENCE = "policy_divergence"
"""Largest ln(1 / pi(u | o)) over demonstrated decisions (Eq. 22 to 24)."""
POLICY_DIVERGENCE_PER_SUBSET = "policy_divergence_per_subset"
"""{subset index: the same of this subset}."""
NONSTATIONARITY_BOUND = "nonstationarity_bound"
"""{subset index: bound of Theorem 1}."""
KEPT_REWARD = "kept_demonstration_reward"
"""Mean over agents of what their best demonstration so far earned on average; EXPERT_REWARD without the gate."""
REVISIONS_KEPT = "demonstration_revisions_kept"
"""Share of agents whose demonstration of the latest cycle is their best one."""
DEMONSTRATION_CYCLES = "demonstration_cycles"
"""Demonstration cycles so far."""
FAILED_CYCLES = "failed_demonstration_cycles"
"""Cycles that brought nothing: the model or the callback failed, or no agent got anything usable."""
IS_ASKING = "is_asking"
"""1 while a request for demonstrations runs beside training, else 0; only with `asynchronous`."""
SIMULATION_WALL_S = "simulation_wall_s"
"""Wall seconds inside SUMO in this epoch's agent episodes, summed over env runners."""
EXPERT_SIMULATION_WALL_S = "expert_simulation_wall_s"
"""The same in expert episodes; 0 in an epoch without new ones."""
EPOCH_WALL_S = "epoch_wall_s"
"""Wall seconds of this epoch's `training_step`."""

# Learner results, under the same key.
AGENT_POLICY_LOSS = "agent_policy_loss"
EXPERT_POLICY_LOSS = "expert_policy_loss"
POLICY_LOSS = "policy_loss"
AGENT_VALUE_LOSS = "agent_value_loss"
EXPERT_VALUE_LOSS = "expert_value_loss"
ENTROPY = "entropy"
TOTAL_LOSS = "total_loss"
KL = "kl"
"""Mean log-ratio of the policy before and after the update on own rows."""
EXPLAINED_VARIANCE = "explained_variance"
"""Of the value targets by V^a after the update, mean over agents."""
EXPERT_PROBABILITY = "expert_action_probability"
"""Mean probability of the demonstrated actions before the update."""
EPSILON = "epsilon"
"""QMIX: share of random actions in the next epoch."""
NUM_UPDATES = "num_updates"
"""Gradient steps in this epoch."""
LEARNER_RESULTS = (
    AGENT_POLICY_LOSS,
    EXPERT_POLICY_LOSS,
    POLICY_LOSS,
    AGENT_VALUE_LOSS,
    EXPERT_VALUE_LOSS,
    ENTROPY,
    TOTAL_LOSS,
    KL,
    EXPLAINED_VARIANCE,
    EXPERT_PROBABILITY,
    EPSILON,
    NUM_UPDATES,
)
"""The learner's results that are repeated under `RELED`; the losses and the entropy are those of the last update."""

# Timers, also under `RELED`: wall seconds of the five calls of the last epoch.
SAMPLING_TIMER = "sampling_s"
DEMONSTRATIONS_TIMER = "demonstrations_s"
WEIGHTING_TIMER = "weighting_s"
UPDATE_TIMER = "update_s"
SYNC_TIMER = "sync_s"
