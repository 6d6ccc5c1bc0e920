"""What `ray job submit --working-dir .` leaves out: files that .gitignore or .rayignore name are not uploaded."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from raymeter.attacks import regressors_of
from raymeter.config.load import AuditConfig
from raymeter.data import DOWNLOADABLE
from raymeter.distributed.ray_internals.on_demand import ignore_rules
from raymeter.errors import is_submitted


def left_out(config: AuditConfig, path: str | Path, folder: Path) -> list[str]:
    """One line for each file that an audit reads and that a job submitted from a folder would not have.

    Files outside the folder are no matter of the upload: they are where they are, on the head or not.

    Args:
        config: What to run.
        path: The file that it was read from.
        folder: The working directory of the job.
    """
    lines = []
    for name, needed in _needed(config, path):
        rule = needed.exists() and _hidden_by(needed.absolute(), folder.absolute())
        if rule:
            lines.append(f"ray job submit would not upload {name} {_within(needed, folder)}: {rule} names it")
    return lines


def will_be_lost(config: AuditConfig) -> list[str]:
    """One line where a submitted job writes into the unpacked upload, which Ray deletes sooner or later."""
    log_dir = config.run.log_dir
    if not is_submitted() or "://" in log_dir or Path(log_dir).expanduser().is_absolute():
        return []
    return [
        f"run.log_dir: {log_dir} lies in this job's copy of the working directory, which Ray deletes; give a full path"
    ]


def _needed(config: AuditConfig, path: str | Path) -> Iterator[tuple[str, Path]]:
    yield "the configuration", Path(path)
    if config.data.path is not None:
        yield "data.path", Path(config.data.path).expanduser()
    if config.audit.groups is not None:
        yield "audit.groups", Path(config.audit.groups)
    target = config.audit.target
    for key in ("members", "weights"):
        if target is not None and getattr(target, key) is not None:
            yield f"audit.target.{key}", Path(getattr(target, key)).expanduser()
    folder = Path(config.data.data_dir).expanduser()
    if (config.data.dataset in DOWNLOADABLE or ":" in config.data.dataset) and folder.is_dir():
        yield "data.data_dir", next((file for file in sorted(folder.rglob("*")) if file.is_file()), folder)
    models = {recipe.model for recipe in regressors_of(list(config.attacks.values()))}
    own = [config.train.model_name, config.train.fit, config.data.dataset]
    own += [] if target is None else [target.model, target.query]
    for name in (*filter(None, own), *sorted(models)):
        module = name.partition(":")[0].partition(".")[0]
        spec = importlib.util.find_spec(module) if ":" in name else None
        if spec is not None and spec.origin is not None:
            yield f"{name}'s module", Path(spec.origin)


def _hidden_by(path: Path, folder: Path) -> str:
    """The file with the rule that keeps a path from being uploaded with a folder, or nothing.

    As Ray packs a folder, which is not quite as git sees it: every folder's own files count, no other; and what git
    tracks although a rule names it is left out.
    """
    if not path.is_relative_to(folder):
        return ""
    git = [] if os.environ.get("RAY_RUNTIME_ENV_IGNORE_GITIGNORE") == "1" else [".gitignore"]
    chain = [folder, *reversed([parent for parent in path.parents if folder in parent.parents]), path]
    for depth, holder in enumerate(chain[:-1]):
        for name in (*git, ".rayignore"):
            matches = ignore_rules(holder, name)
            if matches is not None and any(matches(part) for part in chain[depth + 1 :]):
                return str(_within(holder / name, folder))
    return ""


def _within(path: Path, folder: Path) -> Path:
    path = path.absolute()
    return path.relative_to(folder.absolute()) if path.is_relative_to(folder.absolute()) else path
