"""A road network without SUMO: a grid of two-way streets."""

from pathlib import Path

import numpy as np

from sumo_marl_env import RoadNetwork

SIDE = 4
BLOCK_M = 100.0


def grid_network(side: int = SIDE) -> RoadNetwork:
    """Junction r * side + c at (100 c, 100 r); two-way streets, no U-turns."""
    xy = np.array([(BLOCK_M * c, BLOCK_M * r) for r in range(side) for c in range(side)])
    pairs = [(a, b) for a in range(side**2) for b in range(side**2) if np.linalg.norm(xy[a] - xy[b]) == BLOCK_M]
    connections = [
        (row, following)
        for row, (start, end) in enumerate(pairs)
        for following, (next_start, next_end) in enumerate(pairs)
        if end == next_start and next_end != start
    ]
    size = len(pairs)
    return RoadNetwork(
        name="little_grid",
        net_file=Path("little_grid.net.xml"),
        junction_ids=tuple(f"j{row}" for row in range(side**2)),
        junction_xy=xy,
        junction_has_signal=np.zeros(side**2, bool),
        edge_ids=tuple(f"{a}to{b}" for a, b in pairs),
        edge_types=("",) * size,
        edge_from=np.array([a for a, _ in pairs], np.int32),
        edge_to=np.array([b for _, b in pairs], np.int32),
        edge_length_m=np.full(size, BLOCK_M),
        edge_speed_mps=np.full(size, 10.0),
        edge_num_lanes=np.ones(size, np.int32),
        connections=np.array(connections, np.int32),
        edge_shapes=tuple(xy[list(pair)] for pair in pairs),
    )
