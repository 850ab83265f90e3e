"""Expert demonstrations: by a language model, by rules, or stored.

    callbacks.make_callback(name)       what the algorithm asks once per cycle (`protocol` is the contract)
    cycle, chat, litellm_chat, planner  asking a model, or the offline planner in its place
    prompts, feedback, stationarity     what it is told
    replies, cleaning, programs, routes what it answered
    sandbox, limits, calls, demonstrators   carrying that out beside the vehicles
    program_run                         one program by hand: run_program(text, functions) -> ProgramRun
    logit, store                        the logit expert; files of each cycle, recorded replies

Neither ray nor torch is needed for any of it.
"""

from rllib_releds.demonstrations.limits import SandboxLimits
from rllib_releds.demonstrations.program_run import ProgramCall, ProgramRun, run_program
from rllib_releds.demonstrations.programs import Program, extract_programs

__all__ = ["Program", "ProgramCall", "ProgramRun", "SandboxLimits", "extract_programs", "run_program"]
