"""What every model of an audit is made of, for its marker to be held against."""

from __future__ import annotations

from raymeter.schema.dataset import Dataset
from raymeter.schema.model_record import Origin, members_digest
from raymeter.schema.recipe import Recipe
from raymeter.schema.seeds import model_seed
from raymeter.schema.split import Split


def origins_of(dataset: Dataset, split: Split, recipe: Recipe) -> dict[int, Origin]:
    """By number of each model of the split: its recipe, seed, data and members."""
    return {
        int(index): Origin(
            recipe=recipe.hash,
            seed=model_seed(split.seed, int(index)),
            data=dataset.pool_fingerprint,
            members=members_digest(split.member[:, column]),
        )
        for column, index in enumerate(split.models)
    }
