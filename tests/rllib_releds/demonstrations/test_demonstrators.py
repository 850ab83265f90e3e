import pickle
from dataclasses import replace

import numpy as np
import pytest

from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations, live_demonstrations
from rllib_releds.demonstrations.logit import LogitDemonstrations
from sumo_marl_env import Instruction, Plan

GO = "move_to_by_shortest_time(get_destination())"


def programs(**bodies: str) -> GivenDemonstrations:
    return GivenDemonstrations(
        {
            agent: Program(agent, "def go():\n" + "\n".join(f"    {line}" for line in body.split("\n")), "go")
            for agent, body in bodies.items()
        }
    )


def drive(world, demonstrations, *agents):
    return world.drive(demonstrations.demonstrator(agents), agents)


def test_a_program_drives_its_vehicle_by_its_waypoints(world):
    body = f"move_to_by_shortest_path(3)\nmove_to_by_shortest_path(7)\n{GO}"
    paths, traces = drive(world, programs(vehicle_0=body), "vehicle_0")
    assert paths["vehicle_0"] == [0, 1, 2, 3, 7, 11, 15]
    trace = traces["vehicle_0"]
    assert trace.error is None
    assert not trace.fell_back
    assert [str(i) for i in trace.instructions] == [
        "move_to_by_shortest_path(3)",
        "move_to_by_shortest_path(7)",
        "move_to_by_shortest_time(15)",
    ]
    assert trace.instruction_at.tolist() == [0, 0, 1, 2, 2]
    assert trace.instruction_at.dtype == np.int32


def test_a_junction_that_is_passed_without_a_decision_is_reached(world):
    demonstrator = programs(vehicle_0=f"move_to_by_shortest_path(2)\n{GO}").demonstrator(["vehicle_0"])
    navigator = world.navigator("vehicle_0")
    demonstrator.start({"vehicle_0": navigator})
    assert navigator.approached_junction == 1
    world.move("vehicle_0", demonstrator.act("vehicle_0"))
    # The road to 2 was so short that the vehicle is on the one to 3 when it is looked at again.
    network, agent = world.network, "vehicle_0"
    onward = network.edge_index["2to3"]
    world.edges[agent] = onward
    world.driven[agent].append(onward)
    demonstrator.act(agent)
    assert [str(one) for one in demonstrator.finish()[agent].instructions][-1] == "move_to_by_shortest_time(15)"


def test_programs_of_several_agents_do_not_disturb_each_other(world):
    demonstrations = programs(vehicle_0=GO, vehicle_1="return 1 / 0", vehicle_2=GO, vehicle_3="while True: pass")
    paths, traces = drive(world, demonstrations, "vehicle_0", "vehicle_1", "vehicle_2", "vehicle_3")
    for trip in world.trips:
        assert paths[trip.agent][-1] == trip.destination
    assert [agent for agent, trace in traces.items() if trace.fell_back] == ["vehicle_1", "vehicle_3"]
    assert "ZeroDivisionError" in traces["vehicle_1"].error
    assert "computed for too long" in traces["vehicle_3"].error


def test_a_failure_in_mid_trip_falls_back_from_where_the_vehicle_is(world):
    paths, traces = drive(world, programs(vehicle_0="move_to_by_shortest_path(3)\nreturn undefined"), "vehicle_0")
    assert paths["vehicle_0"][:4] == [0, 1, 2, 3]
    assert paths["vehicle_0"][-1] == 15
    assert traces["vehicle_0"].fell_back
    assert "undefined" in traces["vehicle_0"].error
    assert traces["vehicle_0"].instructions[-1] == Instruction("move_to_by_shortest_time", 15)


def test_a_program_that_ends_too_early_says_so(world):
    paths, traces = drive(world, programs(vehicle_0="move_to_by_shortest_path(3)"), "vehicle_0")
    assert paths["vehicle_0"][-1] == 15
    assert "ended at junction 3, before the destination 15" in traces["vehicle_0"].error


def test_an_agent_without_a_program_is_driven_by_the_fallback(world):
    demonstrations = GivenDemonstrations({}, {"vehicle_0": "there is no function agent_0() in the reply"})
    paths, traces = drive(world, demonstrations, "vehicle_0")
    assert paths["vehicle_0"][-1] == 15
    assert traces["vehicle_0"].error == "there is no function agent_0() in the reply"


def test_a_first_move_to_the_origin_does_not_send_the_vehicle_round_the_block(world):
    paths, traces = drive(world, programs(vehicle_0=f"move_to_by_shortest_path(get_origin())\n{GO}"), "vehicle_0")
    assert len(paths["vehicle_0"]) == 7
    assert not traces["vehicle_0"].fell_back


def test_reached_junctions_cost_no_decision(world):
    _, traces = drive(world, programs(vehicle_0=f"move_to_by_shortest_path(1)\n{GO}"), "vehicle_0")
    assert traces["vehicle_0"].instruction_at.tolist() == [1] * 5


def test_driving_in_circles_ends_in_the_fallback(world):
    body = "while True:\n    move_to_by_shortest_path(5)\n    move_to_by_shortest_path(5)"
    paths, traces = drive(world, programs(vehicle_0=body), "vehicle_0")
    assert paths["vehicle_0"][-1] == 15
    assert "300 movements" in traces["vehicle_0"].error


def test_the_fastest_route_follows_the_live_traffic(world):
    world.times_s[world.network.edge_index["1to2"]] = 1000.0
    world.times_s[world.network.edge_index["1to5"]] = 1.0
    paths, _ = drive(world, live_demonstrations(world.trips), "vehicle_0")
    assert paths["vehicle_0"][2] == 5


def test_plans_are_followed_in_order(world):
    nodes = [5, 4, 8, 9, 13, 14, 15]
    plan = Plan("vehicle_0", tuple(Instruction("move_to_by_shortest_path", node) for node in nodes))
    paths, traces = drive(world, GivenDemonstrations({"vehicle_0": plan}), "vehicle_0")
    assert paths["vehicle_0"] == [0, 1, *nodes]
    assert traces["vehicle_0"].error is None


def test_a_plan_with_an_unknown_junction_moves_on(world):
    plan = Plan("vehicle_0", (Instruction("move_to_by_shortest_path", 99), Instruction("move_to_by_shortest_path", 15)))
    paths, traces = drive(world, GivenDemonstrations({"vehicle_0": plan}), "vehicle_0")
    assert paths["vehicle_0"][-1] == 15
    assert not traces["vehicle_0"].fell_back


def test_demonstrators_can_be_used_again(world):
    demonstrations = programs(vehicle_0=GO)
    demonstrator = demonstrations.demonstrator(["vehicle_0"])
    first = world.drive(demonstrator, ["vehicle_0"])[0]
    world.edges.clear()
    assert world.drive(demonstrator, ["vehicle_0"])[0] == first


@pytest.mark.parametrize(
    "demonstrations", [programs(vehicle_0=GO), GivenDemonstrations({}, {"vehicle_0": "none"}), LogitDemonstrations()]
)
def test_demonstrations_travel_by_pickle(demonstrations, world):
    paths, _ = drive(world, pickle.loads(pickle.dumps(demonstrations)), "vehicle_0")
    assert paths["vehicle_0"][-1] == 15


def test_a_steep_logit_is_the_shortest_path_and_a_flat_one_is_not(world):
    steep, _ = drive(world, LogitDemonstrations(sensitivity=10.0), "vehicle_0")
    assert len(steep["vehicle_0"]) == 7
    world.edges.clear()
    flat = LogitDemonstrations(sensitivity=0.0, seed=3).demonstrator(["vehicle_0"])
    flat.start({"vehicle_0": world.navigator("vehicle_0")})
    assert len({world.move("vehicle_0", flat.act("vehicle_0")) for _ in range(60)}) > 7


def test_logit_draws_depend_on_the_seed_alone(world):
    def path(seed):
        world.edges.clear()
        return drive(world, LogitDemonstrations(sensitivity=0.05, seed=seed), "vehicle_0", "vehicle_1")[0]

    assert path(1) == path(1)
    assert path(1) != path(2)


def test_logit_refuses_unknown_costs():
    with pytest.raises(ValueError, match="free_flow_time"):
        LogitDemonstrations(cost="beauty")


def test_programs_run_beside_a_real_simulation(make_env):
    env = make_env(num_agents=3)
    env.reset(seed=0)
    agents = env.possible_agents
    bodies = {
        agents[0]: GO,
        agents[1]: f"move_to_by_shortest_path(get_nearest_node(0, 0))\n{GO}",
        agents[2]: "return 1 / 0",
    }
    demonstrator = programs(**bodies).demonstrator(agents)
    demonstrator.start({agent: env.navigator(agent) for agent in agents})
    while env.agents:
        env.step({agent: demonstrator.act(agent) for agent in env.deciders})
    episode = env.episode()
    traces = demonstrator.finish()
    assert episode.arrival_rate == 1.0
    assert [traces[agent].fell_back for agent in agents] == [False, False, True]
    for agent in agents:
        assert len(traces[agent].instruction_at) == len(episode[agent].actions)


def first_edge_shares(world, cost):
    """How often each junction after the first decision of vehicle_0 is drawn."""
    sensitivity = 0.05 if cost == "free_flow_time" else 0.02
    ends = []
    for seed in range(400):
        world.edges.clear()
        demonstrator = LogitDemonstrations(sensitivity, cost, seed).demonstrator(["vehicle_0"])
        demonstrator.start({"vehicle_0": world.navigator("vehicle_0")})
        ends.append(world.move("vehicle_0", demonstrator.act("vehicle_0")))
    return {end: ends.count(end) / len(ends) for end in set(ends)}


def test_logit_weighs_what_the_whole_way_costs_its_first_road_included(network, world):
    # From junction 1, of all ways to 15 that have the same length, those over 5 begin with a slow road.
    speeds = network.edge_speed_mps.copy()
    speeds[network.edge_index["1to5"]] /= 4.0
    slow = type(world)(replace(network, edge_speed_mps=speeds), world.trips)
    by_time, by_length = first_edge_shares(slow, "free_flow_time"), first_edge_shares(slow, "length")
    # 30 s more, at 0.05 per second.
    assert by_time[5] == pytest.approx(1.0 / (1.0 + np.exp(1.5)), abs=0.07)
    assert by_length[5] == pytest.approx(0.5, abs=0.07)


def test_logit_draws_for_each_agent_by_itself(world):
    world.trips = tuple(replace(world.trips[0], agent=f"vehicle_{number}") for number in range(2))
    paths = drive(world, LogitDemonstrations(sensitivity=0.0, seed=5), "vehicle_0", "vehicle_1")[0]
    assert paths["vehicle_0"] != paths["vehicle_1"]
