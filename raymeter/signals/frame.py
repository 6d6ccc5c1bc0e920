"""Every cell of the signals once: what is stored is read, what is missing is put in, nothing twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32, Int64

from raymeter.errors import RunError
from raymeter.schema.model_record import ModelRecord
from raymeter.schema.signals import KINDS, RECORDS_AT_ONCE, SignalMatrix
from raymeter.schema.split import Split
from raymeter.signals.compute import SIGNAL_VERSION
from raymeter.signals.plan import SignalPlan
from raymeter.signals.records import RecordSet
from raymeter.signals.stored import matrices
from raymeter.signals.targets.protocol import AnswerColumns, Content
from raymeter.storage.columns import load_column, save_column
from raymeter.storage.run_store import RunStore
from raymeter.storage.scratch import scratch_array

ColumnKeys: TypeAlias = dict[tuple[Content, str, int], str]  # of a stored column, by content, part and model


@dataclass(frozen=True)
class Frame:
    """The signals of all models on all parts; rows are the positions in the concatenation of the parts.

    The columns are the positions of the models in the list that was given, for some may be missing.
    """

    rows: Mapping[str, slice]
    values: Float32[np.ndarray, "kinds rows models queries"]
    logits: Float32[np.ndarray, "rows models queries classes"] | None

    @classmethod
    def empty(cls, plan: SignalPlan, parts: tuple[RecordSet, RecordSet], models: int, store: RunStore) -> Frame:
        """Room for everything: in memory, or in scratch files next to the store where the plan says so."""

        def room(*shape: int) -> np.ndarray:
            return scratch_array(store, shape, np.float32) if plan.mapped else np.empty(shape, np.float32)

        first, total = len(parts[0].y), len(parts[0].y) + len(parts[1].y)
        rows = {parts[0].part: slice(0, first), parts[1].part: slice(first, total)}
        logits = room(total, models, len(plan.views), plan.num_classes) if plan.keep_logits else None
        return cls(rows, room(len(KINDS), total, models, len(plan.views)), logits)

    def all_of(self, content: Content, records: RecordSet) -> np.ndarray:
        """One part: [kinds, records, models, queries] or [records, models, queries, classes]."""
        if content == "signals":
            return self.values[:, self.rows[records.part]]
        assert self.logits is not None
        return self.logits[self.rows[records.part]]

    def column(self, content: Content, records: RecordSet, position: int) -> np.ndarray:
        """One model's share of a part, [kinds, records, queries] or [records, queries, classes]; writable."""
        whole = self.all_of(content, records)
        return whole[:, :, position] if content == "signals" else whole[:, position]


def column_keys(plan: SignalPlan, parts: tuple[RecordSet, RecordSet], models: Sequence[ModelRecord]) -> ColumnKeys:
    """The key of every column: another where weights, code, records, views or the block size are others."""
    return {
        (content, records.part, model.index): _column_key(content, model, records, plan)
        for content in plan.contents
        for records in parts
        for model in models
    }


def keep_columns(
    plan: SignalPlan, parts: tuple[RecordSet, RecordSet], model: ModelRecord, columns: AnswerColumns, store: RunStore
) -> None:
    """Store the columns of a model that can only be asked: they are read back like those of any other."""
    keys, part_of = column_keys(plan, parts, [model]), {records.part: records for records in parts}
    for (content, part), column in columns.items():
        if content in plan.contents:
            about = about_column(content, plan, part_of[part], model)
            save_column(store, keys[content, part, model.index], column, about)


def about_column(content: Content, plan: SignalPlan, records: RecordSet, model: ModelRecord) -> dict[str, Any]:
    """What a column's manifest says of it: what it holds, of which records under which model, and of whose data.

    The data, members and recipe of a target that was trained elsewhere are not known, and are empty.
    """
    return {
        "content": content,
        "model": model.index,
        "weights": model.sha256,
        "part": records.part,
        "records": records.fingerprint,
        "views": list(plan.views),
        "recipe": model.recipe,
        "data": model.data,
        "members": model.members,
    }


def load_stored(
    frame: Frame,
    keys: ColumnKeys,
    plan: SignalPlan,
    parts: tuple[RecordSet, RecordSet],
    models: Sequence[ModelRecord],
    store: RunStore,
    say: Callable[[str], None],
) -> list[int]:
    """Put what is stored into the frame; returns the positions of the models of which something is not.

    Args:
        say: Gets a line about every column that is there and cannot be used.
    """
    part_of = {records.part: records for records in parts}
    place = {model.index: position for position, model in enumerate(models)}
    absent = set()
    for (content, part, model), key in keys.items():
        about = about_column(content, plan, part_of[part], models[place[model]])
        column = load_column(store, key, mapped=plan.mapped, about=about, say=say)
        room = frame.column(content, part_of[part], place[model])
        if column is not None and column.shape != room.shape:
            say(f"{store.name}/signals/{key}.npy is {list(column.shape)}, not {list(room.shape)}; it is not used")
            column = None
        if column is None:
            absent.add(place[model])
            continue
        for start in range(0, room.shape[content == "signals"], RECORDS_AT_ONCE):
            rows = slice(start, start + RECORDS_AT_ONCE)
            some = (slice(None), rows) if content == "signals" else (rows,)
            room[some] = column[some]
    return sorted(absent)


def scatter(
    rows: Int64[np.ndarray, " batch"],
    signals: Float32[np.ndarray, "batch kinds models queries"],
    columns: list[int],
    values: Float32[np.ndarray, "kinds records all_models queries"],
    seen: Bool[np.ndarray, " records"],
) -> None:
    """Put a batch where it belongs, whatever its order.

    Raises:
        RunError: A record came before.
    """
    if seen[rows].any() or len(np.unique(rows)) < len(rows):
        raise RunError(f"signals of row {int(rows[seen[rows]][0] if seen[rows].any() else rows[0])} arrived twice")
    for kind, of_kind in enumerate(np.moveaxis(signals, 1, 0)):
        values[kind][rows[:, None], columns] = of_kind
    seen[rows] = True


def matrices_of(frame: Frame, records: RecordSet, split: Split) -> dict[str, SignalMatrix]:
    """The signals of one part as one SignalMatrix per kind."""
    everything = len(records.ids) == len(split.member)
    if records.part == "audit":
        member = split.member if everything else split.member[records.ids]
    else:
        member = np.zeros((len(records.ids), frame.values.shape[2]), dtype=bool)
    masks = {"reference": split.reference, "targets": split.targets, "ids": records.ids, "labels": records.y}
    return matrices(frame.all_of("signals", records), member, **masks)


def _column_key(content: Content, model: ModelRecord, records: RecordSet, plan: SignalPlan) -> str:
    parts = [SIGNAL_VERSION, KINDS, model.sha256, records.fingerprint, list(plan.views), plan.block]
    if model.architecture in plan.code:
        parts += [model.architecture, plan.code[model.architecture]]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]
    prefix = "" if content == "signals" else f"{content}_"
    return f"{prefix}{records.part}_model_{model.index}_{digest}"
