"""What a Prometheus server sees of a running audit, through Ray's metrics endpoint; where there is none, nothing."""

from __future__ import annotations

from ray.util.metrics import Gauge

DESCRIPTIONS = {
    "models_done": "Reference models that this audit has trained",
    "models_failed": "Reference models that were given up",
    "retries": "Attempts at a model that ended without one",
    "records_done": "Records whose signals have arrived",
    "records_per_second": "Records whose signals arrived per second, mean since the stage began",
}
_gauges: dict[str, Gauge] = {}
_values: dict[str, float] = {}


def begin() -> None:
    """Forget what an earlier audit of this process has published."""
    _values.clear()


def publish(**values: float) -> None:
    """Set gauges `ray_raymeter_<name>`; names are the keys of DESCRIPTIONS.

    Ray reports a gauge to the endpoint once for every time that it is set, so those of earlier stages are set again.
    """
    _values.update(values)
    for name, value in _values.items():
        if name not in _gauges:
            _gauges[name] = Gauge(f"raymeter_{name}", DESCRIPTIONS[name])
        _gauges[name].set(value)
