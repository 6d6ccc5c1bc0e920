"""`raymeter init`: a configuration with comments for the data that somebody has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from raymeter.config.load import build_config
from raymeter.config.yaml_files import parse_yaml
from raymeter.data.readers import arrays
from raymeter.data.readers.parquet import is_parquet, list_tables, read_table
from raymeter.data.readers.tables import columns_to_drop, is_csv, label_of, read_csv_file
from raymeter.errors import ConfigError, DataError
from raymeter.schema.dataset import DataSpec, TableChoice

STEPS = 2000  # of training, about what a small model needs
EPOCHS = (10, 100)
SMALL = 5_000  # members
MODELS = (7, 3)  # reference models per target, with few records and with many
MANY = 50_000  # records

TEMPLATE = """\
# raymeter audit {name}
# Every key: configs/README.md. --dry-run prints the plan.
run:
  log_dir: {log_dir}        # models, signals and the report; start again to continue an interrupted audit
  random_seed: 0

audit:
  num_ref_models: {references}      # per target; {models} models are trained, each attacked with the help of the others
  attacks: [loss, rmia, lira]

train:                     # as your own model is trained, as far as you can: another training leaks differently
  model_name: {model}
  optimizer: AdamW
  learning_rate: 0.001
  batch_size: {batch}
  epochs: {epochs}

data:
  dataset: arrays
  path: {path}
"""


@dataclass(frozen=True)
class FirstConfig:
    """A configuration, and what was decided for it, in words."""

    text: str
    decided: tuple[str, ...]


def first_config(source: str, name: str, label: str | None = None) -> FirstConfig:
    """A configuration for a table (.csv, .parquet) or arrays (.npz).

    Args:
        source: Path of the data.
        name: Of the file that it will be in.
        label: The column of classes in a table; by default y or label.

    Raises:
        DataError: The data cannot be read, or the label is not there.
        ConfigError: A label was given for arrays.
    """
    if is_csv(source) or is_parquet(source):
        return _for_table(source, name, label)
    if label is not None:
        raise ConfigError(f"--label: {source} is no table, and holds its labels as y; leave --label out")
    records = arrays.load(DataSpec("arrays", "data", source, None, None, 0, False))
    image = records.x.ndim == 4
    model = "mlp" if not image else "cnn" if min(records.x.shape[2:]) >= 4 else "mlp"
    kind = "images" if image else "vectors"
    decided = [f"{len(records.y)} {kind} of {records.num_classes} classes: train.model_name is {model}"]
    return FirstConfig(_fill(source, name, len(records.y), model), tuple(decided))


def _for_table(source: str, name: str, label: str | None) -> FirstConfig:
    table = read_csv_file(source) if is_csv(source) else read_table(list_tables(source))
    try:
        label = label_of(table, TableChoice(label), source)
    except DataError as error:
        remedy = str(error).replace("with data.label, or call it y", "with --label")
        raise DataError(remedy.replace("data.label", "--label")) from None
    dropped = columns_to_drop(table, label)
    text = _fill(source, name, len(table), "tabular") + f"  label: {_plain(label)}\n"
    if dropped:
        text += f"  drop: [{', '.join(map(_plain, dropped))}]  # no features: look whether that is right\n"
    decided = [f"{len(table)} records, classes in {label}"]
    decided += [f"{column} is left out: {why}" for column, why in dropped.items()]
    return FirstConfig(text, tuple(decided))


def _fill(source: str, name: str, records: int, model: str) -> str:
    """The template for so many records."""
    references = MODELS[records > MANY]
    members = records // 3
    batch = 64 if members < SMALL else 256
    epochs = min(max(round(STEPS * batch / max(members, 1)), EPOCHS[0]), EPOCHS[1])
    log_dir = f"audits/{Path(name).stem}"
    text = TEMPLATE.format(
        name=name,
        log_dir=_plain(log_dir),
        references=references,
        models=2 * references + 2,
        model=model,
        batch=batch,
        epochs=epochs,
        path=_plain(source),
    )
    build_config(parse_yaml(text, name))
    return text


def _plain(value: str) -> str:
    """A text as YAML writes it, in one line."""
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).removesuffix("...\n").strip()
    )


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        ConfigError: It is there, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} is there already; give another name with --out, or delete it") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); give another name with --out") from None
