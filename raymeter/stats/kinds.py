"""Records by what was decided about them at a threshold and what they are: four kinds, of which sums are counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from raymeter.stats.threads import MOST_POINTS

KINDS = 4
EVERYONE, MEMBERS, FLAGGED = np.ones(KINDS, dtype=bool), np.array([0, 0, 1, 1]) > 0, np.array([0.0, 1.0, 0.0, 1.0])
BLOCK = 16_384  # records whose kinds are counted at once: few enough to stay in the cache, and for exact float32 counts


@dataclass(frozen=True)
class Kinds:
    """The kind of each record of one target.

    Args:
        place: 0 a non-member that is not flagged, 1 one that is, 2 a member that is not, 3 one that is.
        counts: Records of each kind.
    """

    place: UInt8[np.ndarray, " examples"]
    counts: Int64[np.ndarray, 4]

    @classmethod
    def of(cls, flagged: Bool[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]) -> Kinds:
        """Kinds of records that are flagged or not.

        Examples:
            >>> kinds = Kinds.of(np.array([True, False, True]), np.array([True, True, False]))
            >>> kinds.place.tolist(), kinds.counts.tolist()
            ([3, 2, 1], [0, 1, 1, 1])
        """
        place = member.astype(np.uint8)
        place *= 2
        place += flagged
        members, caught = np.count_nonzero(member), np.count_nonzero(flagged & member)
        false = np.count_nonzero(flagged) - caught
        return cls(place, np.array([len(member) - members - false, false, members - caught, caught], dtype=np.int64))

    @property
    def members(self) -> int:
        """How many records are members."""
        return int(self.counts[2] + self.counts[3])

    @property
    def others(self) -> int:
        """How many are none."""
        return int(self.counts[0] + self.counts[1])

    @property
    def tpr(self) -> float:
        """Share of the members that are flagged."""
        return int(self.counts[3]) / self.members

    @property
    def fpr(self) -> float:
        """Share of the others that are flagged."""
        return int(self.counts[1]) / self.others

    def levels(self, shape: Float[np.ndarray, 4], part: Bool[np.ndarray, 4], variance: float) -> Float[np.ndarray, 4]:
        """Influences of the kinds in proportion to a shape, whose squares over all records add up to a variance.

        Args:
            part: Kinds with a part in the figure. Where the shape is 0 for every record (a rate of 0 or 1) all records
                of these have the same influence: what is not seen of one is not seen of any.
        """
        squares = float(self.counts @ shape**2)
        if squares > 0:
            scaled: np.ndarray = shape * np.sqrt(variance / squares)
            return scaled
        levels: np.ndarray = np.where(part, np.sqrt(variance / max(1, int(self.counts @ part))), 0.0)
        return levels

    def spread(self, levels: Float[np.ndarray, 4]) -> Float[np.ndarray, " examples"]:
        """A value of each record, by its kind."""
        values: np.ndarray = levels[self.place]
        return values


class KindPairs:
    """How often a kind of one target meets a kind of another, over all records.

    Sums over records of products of any two influences that records of a kind share are sums over pairs of kinds, so
    that the records are gone through once for all figures of a decision. Of millions of records every n-th is counted,
    as in `TwoWaySum`.

    Args:
        kinds: Of the same records, one entry per target.
    """

    def __init__(self, kinds: Sequence[Kinds]) -> None:
        step = max(1, len(kinds[0].place) // MOST_POINTS)
        places = np.stack([of_target.place[::step] for of_target in kinds])
        self._counts = np.zeros((KINDS * len(kinds),) * 2)
        for start in range(0, places.shape[1], BLOCK):
            block = places[:, None, start : start + BLOCK] == np.arange(KINDS, dtype=np.uint8)[None, :, None]
            of_kind = block.reshape(len(self._counts), -1).astype(np.float32)
            self._counts += of_kind @ of_kind.T
        self._counts *= step

    def products(
        self, levels: Float[np.ndarray, "targets 4"], clusters: Int64[np.ndarray, " targets"]
    ) -> Float[np.ndarray, "clusters clusters"]:
        """Products, summed over records, of the influences of any two clusters on a mean over targets.

        Args:
            levels: Influence of each kind of records on each target's figure.
            clusters: Which targets are dependent; numbered from 0 on.

        Examples:
            >>> member = np.array([True, True, False])
            >>> pairs = KindPairs([Kinds.of(member, member), Kinds.of(~member, member)])
            >>> halves = np.array([[0.0, 0, 0, 1], [0, 0, 1, 0]])  # of both targets' members, who are the same
            >>> pairs.products(halves, np.array([0, 1])).tolist()
            [[0.5, 0.5], [0.5, 0.5]]
        """
        targets = len(levels)
        of_clusters = np.zeros((int(clusters.max()) + 1, targets, KINDS))
        of_clusters[clusters, np.arange(targets)] = levels / targets
        flat = of_clusters.reshape(len(of_clusters), -1)
        products: np.ndarray = flat @ self._counts @ flat.T
        return products
