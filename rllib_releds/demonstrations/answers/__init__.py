"""From a model's reply, which is any text at all, to one program per agent. Nothing is executed here.

programs        Program, extract_programs
replies, fences a reply's pieces of Python
json_codes      programs that are kept in JSON
parsing         statements of a piece of Python, also of one with broken parts
blocks, slicing whose statements are whose, and the slice that one agent's function leads to
syntax, cleaning    what statements are about, and small repairs to them
routes, route_reading   lists of nodes, for the ablation without navigation functions
"""
