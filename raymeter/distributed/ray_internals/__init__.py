"""Every private name of Ray that raymeter uses, in one room: why there is no public way, and what happens without it.

pyproject.toml bounds Ray to versions that were tried; tests/unit/distributed/test_ray_internals.py says which name is
gone. `train_runs.py` loads Ray Train when it is imported, `on_demand.py` nothing until one of its functions is called.
"""
