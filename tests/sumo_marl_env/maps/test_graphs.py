import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components


def strong_parts(graph) -> int:
    arcs = graph.edge_index
    size = len(graph.node_features)
    return connected_components(csr_array((np.ones(arcs.shape[1]), arcs), shape=(size, size)), connection="strong")[0]


def test_road_graph_has_junctions_as_nodes_and_roads_as_arcs(grid):
    graph = grid.graph()
    assert graph.edge_index.shape == (2, grid.num_edges)
    assert graph.edge_index.dtype == np.int64
    assert graph.node_features.shape == (grid.num_junctions, len(graph.node_fields))
    assert graph.edge_features.shape == (grid.num_edges, len(graph.edge_fields))
    for edge in (0, grid.num_edges - 1):
        begin, end = graph.edge_index[:, edge]
        assert (begin, end) == (grid.edge_from[edge], grid.edge_to[edge])
        assert graph.node_features[begin, :2] == pytest.approx(grid.junction_xy[begin])
        length_m = graph.edge_fields.index("length_m")
        assert graph.edge_features[edge, length_m] == pytest.approx(grid.edge_length_m[edge])
    assert strong_parts(graph) == 1


def test_arcs_that_leave_a_road_of_the_line_graph_are_its_valid_actions(grid):
    graph = grid.line_graph()
    assert graph.node_features.shape == (grid.num_edges, len(graph.node_fields))
    for edge in range(grid.num_edges):
        arcs = np.flatnonzero(graph.edge_index[0] == edge)
        slots = graph.edge_features[arcs, graph.edge_fields.index("slot")].astype(int)
        assert sorted(slots) == np.flatnonzero(grid.action_masks[edge]).tolist()
        assert [grid.outgoing[grid.edge_to[edge]][slot] for slot in slots] == graph.edge_index[1, arcs].tolist()
    assert strong_parts(graph) == 1


def test_graph_is_read_only(grid):
    with pytest.raises(ValueError, match="read-only"):
        grid.graph().edge_index[0, 0] = 1
