"""Scenarios: a network, the agents' trips, the other traffic and the horizon.

scenario        `Scenario`, `make_scenario`
trips, demand, route_file   the agents' trips, drawn traffic, a user's own
scenario_file, scenario_saving  one JSON file that a person can read, edit and share
"""
