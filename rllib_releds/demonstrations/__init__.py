"""Expert demonstrations: by a language model, by rules, or stored.

    callbacks.make_callback(name)       what the algorithm asks once per cycle (`protocol` is the contract)
    cycle, chat, litellm_chat, planner  asking a model, or the offline planner in its place
    prompts, feedback, stationarity     what it is told
    replies, cleaning, programs, routes what it answered
    sandbox, calls, demonstrators       carrying that out beside the vehicles
    logit, store                        the logit expert; files of each cycle, recorded replies

Neither ray nor torch is needed for any of it.
"""
