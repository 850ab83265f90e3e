"""Expert demonstrations: by a language model, by rules, or stored.

    protocol, callbacks         what the algorithm asks once per cycle, and who can be asked, by name
    language_model              ask, extract, repair once, keep the last good programs
    conversation                what the model was told and answered, within context and budget
    agent_names                 what prompts and replies call the agents
    functions                   what programs may call (Table II), and the check of every call
    demonstrators, logit, perturbed, episodes   driving the agents of a subset through an expert episode
    feedback, stationarity, roads, surroundings   what came of it (Eq. 18 to 24), on which roads
    gate, refinement            the best version of each agent; cycles without training
    background                  asking beside training
    domain, routing_domain      what knows the world, behind one protocol

Rooms of their own, in the order in which a cycle passes them:

    prompting/                  what a model is told
    models/                     chat models, and their failures
    offline_planner/            what stands in for a model where there is none
    answers/                    from a reply to one program per agent
    execution/                  programs in their sandbox
    records/                    the files of each cycle, and `reled demos`

Neither ray nor torch is needed for any of it.
"""

from rllib_releds.demonstrations.answers.programs import Program, extract_programs
from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.execution.program_run import ProgramCall, ProgramRun, run_program

__all__ = ["Program", "ProgramCall", "ProgramRun", "SandboxLimits", "extract_programs", "run_program"]
