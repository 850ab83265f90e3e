"""What the networks read, recomputed in other ways."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from street_grid import grid_network

from rllib_releds.algorithm.encoder import RoutingEncoder, StateEncoder, road_tables
from sumo_marl_env import FeatureObservation, PaperObservation, Trip

GRID = grid_network()
# Roads of different speed, on a map whose middle is not at the origin.
NETWORK = replace(
    GRID, junction_xy=GRID.junction_xy * [1.0, 2.0] + 500.0, edge_speed_mps=np.linspace(5.0, 25.0, GRID.num_edges)
)


@pytest.fixture
def seen():
    """Every edge with one of the destinations: observations of Table I, masks, and the features of the env."""
    scores = np.random.default_rng(0).random(NETWORK.num_edges).astype(np.float32)
    scenario = SimpleNamespace(network=NETWORK)
    observations, features = PaperObservation(scenario), FeatureObservation(scenario)
    for one in (observations, features):
        one.begin(scores)
    trips = [(Trip("vehicle_0", 0, edge % NETWORK.num_junctions, 0), edge) for edge in range(NETWORK.num_edges)]
    return (
        torch.from_numpy(np.stack([observations.encode(*one) for one in trips])),
        torch.from_numpy(NETWORK.action_masks.copy()),
        np.stack([features.encode(*one) for one in trips]),
    )


@pytest.mark.parametrize("encoder", ["combined", "features"])
def test_road_features_are_those_of_the_envs_own_feature_observation(seen, encoder):
    observations, masks, features = seen
    encoded = RoutingEncoder(encoder, road_tables(NETWORK))(observations, masks)
    whole, slots = features[:, :7], features[:, 7:].reshape(len(features), -1, 7).swapaxes(1, 2)
    expected = np.hstack([whole, slots.reshape(len(features), -1), masks])
    np.testing.assert_allclose(encoded.features, expected, atol=1e-6)
    np.testing.assert_array_equal(encoded.junctions, NETWORK.edge_to)


@pytest.mark.parametrize(("encoder", "has_ids"), [("raw", True), ("one_hot", False)])
def test_other_encoders_see_scores_and_masks_beside_ids(seen, encoder, has_ids):
    observations, masks, _ = seen
    encoded = RoutingEncoder(encoder, road_tables(NETWORK))(observations, masks)
    ids = observations[:, [0, 1, 3, 5, 7, 9]] / NETWORK.num_junctions if has_ids else observations[:, :0]
    scores = observations[:, 2::2].clamp(min=0.0)
    torch.testing.assert_close(encoded.features, torch.cat([ids, scores, masks.float()], dim=1))


def test_a_state_tells_where_agents_are_and_what_they_have_before_them():
    encoder = StateEncoder(2, road_tables(NETWORK))
    scores = np.linspace(0.0, 1.0, NETWORK.num_edges)
    state = torch.tensor([[5.0, 12.0, 0.25, 1.0, 7.0, 3.0, 0.5, 0.0, *scores]], dtype=torch.float32)
    middle = (NETWORK.junction_xy.min(axis=0) + NETWORK.junction_xy.max(axis=0)) / 2
    here, goal = NETWORK.junction_xy[NETWORK.edge_to[5]], NETWORK.junction_xy[12]
    # The second one has left.
    expected = [*(here - middle) / 1000.0, *(goal - here) / 1000.0, 0.25, 1.0, *[0.0] * 6, *scores]
    np.testing.assert_allclose(encoder(state)[0], expected, atol=1e-6)
    assert encoder.num_features == len(expected)
