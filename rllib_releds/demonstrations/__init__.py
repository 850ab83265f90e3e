"""Expert demonstrations: by a language model, by rules, or stored.

    callbacks.make_callback(name)       what the algorithm asks once per cycle (`protocol` is the contract)
    cycle, chat, chat_models, litellm_chat, chat_failures, hidden_keys   asking a model,
    planner                             or the offline planner in its place
    planner_reading, _assignment, _writing   how the planner does it
    prompts, network_text, feedback_text, surroundings   what it is told, from
    feedback, stationarity, roads       what came of its demonstrations
    gate, refinement, episodes          the best version of each agent; cycles without training
    domain, routing_domain              what knows the world, behind one protocol
    replies, cleaning, syntax, programs, routes  what it answered
    sandbox, limits, calls, demonstrators   carrying that out beside the vehicles
    program_run                         one program by hand: run_program(text, functions) -> ProgramRun
    logit                               the logit expert
    store, stored, replaying, recorded  files of each cycle, read, carried out again; replies kept
    making, summaries, table, published what `reled demos` does

Neither ray nor torch is needed for any of it.
"""

from rllib_releds.demonstrations.limits import SandboxLimits
from rllib_releds.demonstrations.program_run import ProgramCall, ProgramRun, run_program
from rllib_releds.demonstrations.programs import Program, extract_programs

__all__ = ["Program", "ProgramCall", "ProgramRun", "SandboxLimits", "extract_programs", "run_program"]
