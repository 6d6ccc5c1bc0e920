"""The values that flow between stages, with their invariants."""

from raymeter.schema.dataset import Dataset, LazyRecords, fingerprint_arrays
from raymeter.schema.model_record import ModelRecord
from raymeter.schema.scores import Scores
from raymeter.schema.signals import QuantilePrediction, SignalKind, SignalMatrix, Signals
from raymeter.schema.split import Split

__all__ = [
    "Dataset",
    "LazyRecords",
    "ModelRecord",
    "QuantilePrediction",
    "Scores",
    "SignalKind",
    "SignalMatrix",
    "Signals",
    "Split",
    "fingerprint_arrays",
]
