"""Simple drivers to measure learned ones against, on the same trips, seeds and traffic.

yardsticks      random, shortest path, live shortest time, and all others by name
rerouting       SUMO's rerouting device
equilibrium     user equilibrium by SUMO's duaIterate
sumo_inputs     a scenario as the files that SUMO's own programs read
"""
