"""Files that a user names next to another tool's signals: memberships, ids, labels, a population."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raymeter.formats import Extras
from raymeter.formats.reading import load_array, load_arrays, whole_numbers
from raymeter.formats.values import Kind
from raymeter.schema.ids import as_ids


@dataclass(frozen=True)
class ExtraFiles:
    """Paths of .npy files (`members` may be an .npz), None where none is given; the rest as in `Extras`."""

    ids: str | None = None
    labels: str | None = None
    members: str | None = None
    population: str | None = None
    population_labels: str | None = None
    kind: Kind | None = None
    logits: bool = False
    batch_norm: str | None = None

    def load(self) -> Extras:
        """The arrays of the files.

        Raises:
            DataError: A file is missing, damaged or holds something else.
        """
        members: dict[str, np.ndarray] = {}
        if self.members is not None:
            path = Path(self.members)
            members = load_arrays(path) if path.suffix == ".npz" else {"member": load_array(path)}
        for name, file in (("population", self.population), ("population_labels", self.population_labels)):
            if file is not None:
                members[name] = load_array(Path(file))
        return Extras(
            ids=None if self.ids is None else as_ids(load_array(Path(self.ids)), self.ids),
            labels=_numbers(self.labels),
            members=members,
            kind=self.kind,
            logits=self.logits,
            batch_norm=self.batch_norm,
        )


def _numbers(path: str | None) -> np.ndarray | None:
    return None if path is None else whole_numbers(load_array(Path(path)), path)
