"""Programs as coroutines of the simulation, in a sandbox.

calls           the functions that programs may call (Table II), and the check of every call
sandbox, running_program    one interpreter, and one program on its way in it
limits          what a program may use
prelude         builtins that the interpreter lacks
sandbox_failures    errors in words for whoever wrote the program
transcripts     programs that do the same in every episode run once
program_run     one program by hand: run_program(text, functions) -> ProgramRun
"""
