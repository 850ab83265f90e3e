"""Programs as coroutines of the simulation, in a sandbox.

sandbox, running_program    one interpreter, and one program on its way in it
limits          what a program may use
prelude, rewriting  what the interpreter lacks, defined or said otherwise
dry_run         a program's run ahead of all episodes
sandbox_failures    errors in words for whoever wrote the program
transcripts     programs that do the same in every episode run once
program_run     one program by hand: run_program(text, functions) -> ProgramRun
"""
