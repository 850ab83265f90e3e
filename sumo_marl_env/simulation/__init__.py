"""SUMO, and vehicles that are driven edge by edge.

simulator, sumo     what steering needs of a simulation, and SUMO as one
steering, foresight drives vehicles without losing one
fleet               what the environment reads of them
isolated, child, channel    the same with SUMO in a child process
sumo_options    options of SUMO that users give
"""
