"""Size and observations of a made-up map."""

import numpy as np

NUM_JUNCTIONS, NUM_SLOTS, NUM_AGENTS = 7, 3, 3


def random_observations(rng: np.random.Generator, tables: dict, agent: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, 2 m + 2) observations in the paper's layout and (rows, m) masks with at least one valid slot."""
    junctions = rng.integers(0, NUM_JUNCTIONS, rows)
    ends = tables["slot_ends"][junctions]
    observations = np.full((rows, 2 * NUM_SLOTS + 2), -1.0, np.float32)
    observations[:, 0], observations[:, 1] = junctions, agent
    observations[:, 2::2] = np.where(ends >= 0, rng.uniform(0, 1, ends.shape), -1.0)
    observations[:, 3::2] = ends
    masks = ((ends >= 0) & (rng.random(ends.shape) < 0.7)).astype(np.int8)
    masks[masks.sum(axis=1) == 0, 0] = 1
    return observations, masks
