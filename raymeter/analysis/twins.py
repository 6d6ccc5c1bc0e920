"""Records that are in the data twice: a model that trained on one knows the other, which hides what it leaks."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.neighbors import NearestNeighbors

NEAR = 0.1  # of the usual distance of a record from its nearest neighbour


@dataclass(frozen=True)
class Twins:
    """How many audited records have a twin among them on the other side of some target.

    Args:
        records: That were looked at for exact twins.
        exact: Of these, with the same content as another that some model trained on without it.
        sampled: Records that were looked at for near twins.
        near: Of these, so close to another, without being equal.
    """

    records: int
    exact: int
    sampled: int = 0
    near: int = 0

    def line(self) -> str:
        """A line for the report; empty where there are none."""
        found = []
        if self.exact:
            found.append(f"{self.exact} of {self.records} audited records have an exact twin")
        if self.near:
            found.append(f"{self.near} of {self.sampled} a near one")
        if not found:
            return ""
        return (
            f"warning: {', '.join(found)} that other models trained on: they know a record by its twin, so its "
            "leakage is understated; leave out repetitions, or audit them as one"
        )


def exact_twins(x: np.ndarray, member: Bool[np.ndarray, "examples models"]) -> Twins:
    """Records with the same content as another one whose memberships are not the same.

    Args:
        x: Records, [examples, ...].

    Examples:
        >>> x = np.array([[1, 2], [3, 4], [1, 2]])
        >>> exact_twins(x, np.array([[True, False], [True, False], [False, True]])).exact
        2
    """
    places = defaultdict(list)
    for place, record in enumerate(x):
        places[hashlib.blake2b(np.ascontiguousarray(record).tobytes(), digest_size=16).digest()].append(place)
    several = [same for same in places.values() if len(same) > 1]
    apart = sum(len(same) for same in several if (member[same] != member[same[0]]).any())
    return Twins(len(x), apart)


def near_twins(
    features: Float[np.ndarray, "records features"], member: Bool[np.ndarray, "records models"]
) -> Bool[np.ndarray, " records"]:
    """Which records are much closer to another one, with other memberships, than records usually are.

    Args:
        features: On scales that can be compared, such as principal components.

    Examples:
        >>> features = np.array([[0.0], [10.0], [20.0], [30.0], [30.1]])
        >>> near_twins(features, np.array([[True], [False], [True], [True], [False]])).tolist()
        [False, False, False, True, True]
    """
    if len(features) < 3:
        return np.zeros(len(features), dtype=bool)
    distances, neighbours = NearestNeighbors(n_neighbors=2).fit(features).kneighbors(features)
    own = neighbours[:, 0] == np.arange(len(features))
    nearest = np.where(own, neighbours[:, 1], neighbours[:, 0])
    distance = np.where(own, distances[:, 1], distances[:, 0])
    usual = float(np.median(distance))
    near: np.ndarray = (distance > 0) & (distance < NEAR * usual) & (member != member[nearest]).any(axis=1)
    return near
