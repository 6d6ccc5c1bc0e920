"""Which record trains which model, and which model may judge which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64

from raymeter.errors import SplitError


@dataclass(frozen=True)
class Split:
    """Which record trains which model, and which models may judge which target.

    `reference[t, m]` says that model m may serve as a reference when target t is attacked. It is
    False for the target itself and for its complement, the model trained on exactly the other half:
    both reveal the target's membership. `targets` are columns; `models` says which model each column is,
    by default 0, 1, 2, ... With `has_foreign_target` the last column is the only target, a model that was
    trained elsewhere.
    """

    member: Bool[np.ndarray, "pool models"]
    reference: Bool[np.ndarray, "targets models"]
    targets: Int64[np.ndarray, " targets"]
    audit_ids: Int64[np.ndarray, " examples"]
    population_ids: Int64[np.ndarray, " population"]
    seed: int
    models: Int64[np.ndarray, " models"] = None  # type: ignore[assignment]
    has_foreign_target: bool = False

    def __post_init__(self) -> None:
        if self.models is None:
            object.__setattr__(self, "models", np.arange(self.member.shape[1], dtype=np.int64))
        if self.reference.shape != (len(self.targets), self.member.shape[1]):
            raise SplitError(
                f"reference must have shape (targets, models) = ({len(self.targets)}, {self.member.shape[1]}), "
                f"got {self.reference.shape}"
            )

    @property
    def trained_here(self) -> Split:
        """The models to train."""
        return replace(self.only(self.models[:-1]), has_foreign_target=False) if self.has_foreign_target else self

    @property
    def here(self) -> Int64[np.ndarray, " columns"]:
        """The columns of the models that are trained here."""
        return np.arange(len(self.models) - self.has_foreign_target)

    def name_of(self, column: int) -> str:
        """What a report calls a model."""
        return "the target" if self.has_foreign_target and column in self.targets else f"model {self.models[column]}"

    def only(self, models: Sequence[int] | Int64[np.ndarray, " chosen"]) -> Split:
        """The same design without the models that are not there; they are neither targets nor references."""
        columns = np.flatnonzero(np.isin(self.models, models))
        attacked = np.isin(self.targets, columns)
        return replace(
            self,
            member=self.member[:, columns],
            reference=self.reference[np.ix_(attacked, columns)],
            targets=np.searchsorted(columns, self.targets[attacked]),
            models=self.models[columns],
        )
