"""Models whose signals are unlike the others': diverged, constant, of another scale; and views that are noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from raymeter.schema.signals import SignalMatrix

MOST_RECORDS = 100_000  # that are looked at; of more every n-th
FAR, WIDE = 5.0, 10.0  # spreads of a model's records away from the others' level; times the others' spread
FEW_MODELS = 3  # of fewer none can be told to be the odd one
NEAR, ROUNDING = 0.3, 1e-3  # of the most that probabilities reach as logits
UNRELATED = 0.2  # correlation of a view with the mean of the others


def odd_models(signals: SignalMatrix) -> tuple[str, ...]:
    """A warning for each model, and each view, whose signals are unlike the others'; in order of the models.

    Such a model misleads every attack that takes it for a reference, and is no fair target: one diverged model of eight
    takes LiRA's AUC from 0.68 to 0.52.

    Examples:
        >>> values = np.random.default_rng(0).normal(size=(200, 4, 1)).astype(np.float32)
        >>> values[:, 2] = -30
        >>> odd_models(SignalMatrix("logit_gap", values, np.arange(200)[:, None] % 2 == np.arange(4) % 2))[0][:65]
        'warning: model 2 gives every record the same signal (-30): it is '
    """
    step = max(1, len(signals.values) // MOST_RECORDS)
    values = signals.values[::step]
    averaged = values.mean(axis=2, dtype=np.float64)
    return (*_models(averaged), *_views(values), *_probabilities_as_logits(averaged, signals))


def _probabilities_as_logits(values: np.ndarray, signals: SignalMatrix) -> Iterator[str]:
    """Signals that fill the range which a softmax of probabilities can reach, and do not leave it."""
    if signals.kind != "logit_gap" or signals.labels is None or not len(values):
        return
    classes = int(signals.labels.max()) + 1
    if classes < 2:
        return
    lowest, highest = -np.log(np.e + classes - 2), 1 - np.log(classes - 1)
    if values.min() >= lowest - ROUNDING and highest - NEAR < values.max() <= highest + ROUNDING:
        yield (
            f"warning: no signal is above {highest:.3f}, which is the most that probabilities reach where they are "
            f"taken for logits ({classes} classes): leave the softmax out of the model, or give them as kind prob"
        )


def _models(values: np.ndarray) -> Iterator[str]:
    models = values.shape[1]
    if models < FEW_MODELS or len(values) < 2:
        return
    low, level, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    spread = high - low
    others_spread = float(np.median(spread[spread > 0])) if (spread > 0).any() else 0.0
    others_level = float(np.median(level))
    remedy = "it is no fair target and misleads every attack as a reference; train it again, or leave it out"
    for model in range(models):
        if np.ptp(values[:, model]) == 0:
            if (np.ptp(values, axis=0) > 0).any():
                text = f"gives every record the same signal ({values[0, model]:.4g})"
                yield f"warning: model {model} {text}: {remedy}"
        elif others_spread and abs(level[model] - others_level) > FAR * others_spread:
            text = f"has signals around {level[model]:.4g}, the others around {others_level:.4g}"
            yield f"warning: model {model} {text}: {remedy}"
        elif others_spread and not others_spread / WIDE <= spread[model] <= others_spread * WIDE:
            text = f"has signals that spread over {spread[model]:.3g}, the others' over {others_spread:.3g}"
            yield f"warning: model {model} {text}: {remedy}"


def _views(values: np.ndarray) -> Iterator[str]:
    views = values.shape[2]
    of_records = values.mean(axis=1, dtype=np.float64)
    if views < 2 or len(values) < 10:
        return
    for view in range(views):
        own, others = of_records[:, view], np.delete(of_records, view, axis=1).mean(axis=1)
        if np.ptp(own) == 0 or np.ptp(others) == 0:
            continue
        correlation = float(np.corrcoef(own, others)[0, 1])
        if correlation < UNRELATED:
            yield (
                f"warning: view {view} says nothing of what the other views say (correlation {correlation:.2f} over "
                "records): it is noise, or belongs to other records; leave it out"
            )
