"""Do two checkouts of raymeter give the same results? Records what every command leaves behind, and compares.

    python benchmarks/same_results.py record --checkout OLD --out A
    python benchmarks/same_results.py record --checkout NEW --out B --filled A
    python benchmarks/same_results.py compare A B

For a change that must not change any figure, such as a move of modules. With `--filled` the audits run a second time,
on copies of the run directories that the older checkout has filled: all models, signals and answers must be found
again there. Values are compared exactly, so both records belong to one machine with the same packages. `EXCLUDED` and
`SECONDS` are all that may differ, each with its reason. What is run is in `same_results_steps.py`; it takes about ten
minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet
from same_results_steps import AUDITS, Step, audit_step, steps, write_inputs

EXCLUDED = (  # file, key, why its value differs between two runs of the same code
    ("*/metrics.json", r"timings\..*", "seconds"),
    ("*/metrics.json", r"provenance\.date", "when the report was made"),
    (
        "*/metrics.json",
        r"provenance\.models\.\d+\.(node|seconds|started|finished)",
        "where and when a model was trained",
    ),
    ("*/models/model_*.json", r"node|seconds|started|finished", "where and when a model was trained"),
    ("*/timeline.json", r"stages\.\d+\.seconds", "seconds"),
    ("*/timeline.json", r"models\.\d+\.(node|seconds|started|finished)", "where and when a model was trained"),
    ("*/timeline.json", r"attempts\.\d+\.(node|slot|started|ended)", "which of the slots was free, and when"),
    ("*/models/history.json", r"attempts\.\d+\.(node|slot|started|ended)", "which of the slots was free, and when"),
    ("*/sweep/*/blocks/*.json", r"\d+\.seconds", "seconds"),
    ("*/sweep/*/results.parquet", r"seconds", "seconds"),
)
NOT_READ = (  # files, why they are left out
    ("*/sweep/*/tune/*", "Ray Tune's own snapshot, with its times and the ids of its trials"),
    ("recorded.json", "where and of what the record was made"),
)
SECONDS = (  # in texts and pages: what is replaced
    (r"(?m)^(\w[\w ]*?):? \d+\.\d+ s$", r"\1 - s"),  # stages on the console and in log_time_analysis.log
    (r"(<dt>[^<]*</dt><dd>)\d+\.\d s</dd>", r"\1- s</dd>"),  # stages on the page
    (r"<dt>date</dt><dd><code>[^<]*</code>", "<dt>date</dt><dd>-"),
    (r"Made \d{4}-\d\d-\d\d \d\d:\d\d UTC", "Made - UTC"),
    (r"<td>\d+\.\d</td>(<td>\d+</td><td class=\"text\"><code>[0-9a-f]{16}</code>)", r"<td>-</td>\1"),  # of a model
)
BINARY = (".safetensors", ".png", ".pt")
AUDITED = ("demo", *AUDITS)
LEFT_BEHIND = ("run.json", "models/*.safetensors", "signals/*.npy", "signals/index.json", "report/*.json")
LEFT_BEHIND += ("report/records.parquet", "report/index.html", "report/exp/*.npz", "report/*.csv", "report/*.png")
STORED = ("models/model_*", "signals/*_model_*", "target/**/*")  # what an audit must find again and not make again
WRITTEN_ANEW = "asked/signals/*_model_4_*"  # a target that is asked: from its stored answers, in every run


def entry_point(checkout: Path) -> str:
    """A line of Python that calls the checkout's own console command."""
    named = re.search(r'(?m)^raymeter = "([\w.]+):(\w+)"', (checkout / "pyproject.toml").read_text())
    if named is None:
        raise SystemExit(f"{checkout}/pyproject.toml has no script raymeter")
    return f"import sys; from {named[1]} import {named[2]}; sys.exit({named[2]}())"


def environment(checkout: Path) -> dict[str, str]:
    """The checkout before everything else that is installed, and the same width of a terminal for all."""
    known = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "PYTHONPATH")}
    own = {"PYTHONPATH": str(checkout), "SAME_RESULTS_CHECKOUT": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**known, **own, "COLUMNS": "100", "NO_COLOR": "1"}


def run(each: Step, folder: Path, checkout: Path) -> None:
    """Run a step in a folder, keep what it says in text/; another exit code than expected ends the record."""
    if each.copied:
        shutil.copytree(folder / each.copied[0], folder / each.copied[1])
    first, *rest = each.arguments
    command = [sys.executable, *(["-c", entry_point(checkout)] if first == "raymeter" else []), *rest]
    done = subprocess.run(command, cwd=folder, env=environment(checkout), capture_output=True, text=True)
    said = f"exit code {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
    (folder / "text").mkdir(exist_ok=True)
    (folder / f"text/{each.name}.txt").write_text(said)
    print(f"{each.name}: exit code {done.returncode}", flush=True)
    if done.returncode != each.code:
        raise SystemExit(f"{each.name}: expected exit code {each.code}\n{said[-3000:]}")


def check_import(folder: Path, checkout: Path) -> None:
    """End the record where Python would import another raymeter than the checkout's."""
    command = [sys.executable, "-c", "import raymeter; print(raymeter.__file__)"]
    found = subprocess.run(command, cwd=folder, env=environment(checkout), capture_output=True, text=True, check=True)
    if Path(found.stdout.strip()) != checkout / "raymeter/__init__.py":
        raise SystemExit(f"raymeter is imported from {found.stdout.strip()}, not from {checkout}")


def record(checkout: Path, out: Path, filled: Path | None) -> None:
    """Run everything in an empty directory; recorded.json comes last and says that the record is complete."""
    if out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out} is not empty")
    if filled and not (filled / "recorded.json").is_file():
        raise SystemExit(f"{filled} holds no complete record")
    out.mkdir(parents=True, exist_ok=True)
    check_import(out, checkout)
    write_inputs(out, checkout)
    subprocess.run([sys.executable, "mine.py"], cwd=out, env=environment(checkout), check=True)
    inputs = sorted(out.iterdir())
    for each in steps():
        run(each, out, checkout)
    if filled:
        again(filled, out / "filled", inputs, checkout)
    about = {"out": str(out), "checkout": str(checkout), "filled": str(filled), "python": sys.version}
    (out / "recorded.json").write_text(json.dumps(about))


def again(filled: Path, folder: Path, inputs: list[Path], checkout: Path) -> None:
    """The audits once more, on copies of filled run directories: nothing that is stored may be written anew."""
    folder.mkdir()
    for path in inputs:
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
    for name in AUDITED:
        shutil.copytree(filled / name, folder / name)
        before = stored(folder / name)
        run(audit_step(name), folder, checkout)
        after = stored(folder / name)
        changed = sorted(path for path in before | after if before.get(path) != after.get(path))
        if changed or not before:
            raise SystemExit(f"{name}: made again: {', '.join(changed) or 'nothing was stored'}")
        print(f"{name}: {len(before)} stored files were found again, none was written anew")


def stored(folder: Path) -> dict[str, tuple[int, int]]:
    """Every stored model, signal and answer, with the number and time of its file; a rewritten one has another."""
    paths = [path for pattern in STORED for path in folder.glob(pattern) if path.is_file()]
    paths = [path for path in paths if not path.match(WRITTEN_ANEW)]
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every value of a JSON document with its path, in order; empty lists and objects are values too."""
    if isinstance(value, dict | list) and value:
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, repr(value)


def values_of(path: Path, roots: set[str]) -> dict[str, Any]:
    """A file as values by key: what is equal in two runs of the same code, and what is compared."""
    if path.suffix in (".npz", ".npy"):
        loaded = np.load(path, allow_pickle=False)
        return dict(loaded) if path.suffix == ".npz" else {"array": loaded}
    if path.suffix in BINARY:
        return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    if path.suffix == ".parquet":
        table = parquet.read_table(path)
        return {"schema": str(table.schema.remove_metadata())} | {
            f"{name}.{row}": repr(value)
            for name in table.column_names
            for row, value in enumerate(table[name].to_pylist())
        }
    text = path.read_text()  # it may name the place where it was recorded
    for place in sorted((f"{root}{end}" for root in roots for end in ("", "/filled")), key=len, reverse=True):
        text = re.sub(rf"{re.escape(place)}(?![\w-])", "OUT", text)
    if path.suffix == ".json":
        content = json.loads(text)
        if path.name in ("timeline.json", "history.json"):  # attempts are in the order in which slots were done
            content["attempts"].sort(key=lambda attempt: (attempt["model"], attempt["attempt"]))
        return dict(leaves(content))
    for pattern, instead in SECONDS:
        text = re.sub(pattern, instead, text)
    return {f"line {number}": line for number, line in enumerate(text.splitlines(), 1)}


def without_excluded(values: dict[str, Any], name: str) -> dict[str, Any]:
    """The keys stay, so that one that is missing still shows."""
    patterns = [re.compile(rf"({key})(\.\d+)?") for file, key, _ in EXCLUDED if fnmatch.fnmatch(name, file)]
    return {key: "-" if any(each.fullmatch(key) for each in patterns) else value for key, value in values.items()}


def difference(a: dict[str, Any], b: dict[str, Any]) -> str | None:
    """The first key that differs, with both values; None where all are the same, bit for bit and in the same order."""
    for key in [*a, *(key for key in b if key not in a)]:
        if key not in a or key not in b:
            return f"{key}: only in {'A' if key in a else 'B'}"
        first, second = a[key], b[key]
        if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
            if (first.dtype, first.shape) != (second.dtype, second.shape):
                return f"{key}: {first.dtype}{list(first.shape)} and {second.dtype}{list(second.shape)}"
            if first.tobytes() != second.tobytes():
                width = first.dtype.itemsize
                bits = [np.frombuffer(each.tobytes(), np.uint8).reshape(-1, width) for each in (first, second)]
                place = int(np.flatnonzero((bits[0] != bits[1]).any(axis=1))[0])
                return f"{key}, value {place}: {first.ravel()[place]!r} and {second.ravel()[place]!r}"
        elif first != second:
            return f"{key}: {str(first)[:150]} and {str(second)[:150]}"
    return None if list(a) == list(b) else "the same keys in another order"


def files_of(root: Path) -> set[str]:
    """What is compared: everything but the copies of filled directories, which are compared with the first runs."""
    names = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    skipped = [pattern for pattern, _ in NOT_READ]
    return {n for n in names if not n.startswith("filled/") and not any(fnmatch.fnmatch(n, each) for each in skipped)}


def pairs(a: Path, b: Path) -> Iterator[tuple[str, Path, Path]]:
    """The files that belong together, by name, whether they are there or not."""
    for name in sorted(files_of(a) | files_of(b)):
        yield name, a / name, b / name
    for side in (a, b):
        for audited in AUDITED if (side / "filled").is_dir() else ():
            names = files_of(a / audited) | files_of(side / "filled" / audited)
            yield from ((f"{audited}/{n}", a / audited / n, side / "filled" / audited / n) for n in sorted(names))


def missing(root: Path) -> list[str]:
    """What a record must hold, whatever the other one holds."""
    wanted = ["recorded.json", *(f"text/{each.name}.txt" for each in steps())]
    wanted += [f"{name}/{pattern}" for name in (*AUDITED, "demo_more") for pattern in LEFT_BEHIND]
    if (root / "filled").is_dir():
        wanted += [f"filled/{name}/{pattern}" for name in AUDITED for pattern in LEFT_BEHIND]
    return [f"{root}: {pattern} is missing" for pattern in wanted if not any(root.glob(pattern))]


def compare(a: Path, b: Path) -> int:
    """Print a line per file that differs and a summary; 1 where anything differs or is missing, else 0."""
    wrong, files, count = [*missing(a), *missing(b)], 0, 0
    recorded = [root / "recorded.json" for root in (a, b)]
    roots = {json.loads(path.read_text())["out"] for path in recorded if path.is_file()}
    for name, first, second in pairs(a, b):
        absent = [str(path) for path in (first, second) if not path.is_file()]
        if absent:
            wrong.append(f"{name}: {' and '.join(absent)} is missing")
            continue
        mine = without_excluded(values_of(first, roots), name)
        found = difference(mine, without_excluded(values_of(second, roots), name))
        files, count = files + 1, count + sum(getattr(value, "size", 1) for value in mine.values())
        if found is not None:
            wrong.append(f"{second.relative_to(b) if second.is_relative_to(b) else second}: {found}")
    for line in wrong:
        print(line)
    print(f"{files} files with {count} values were compared: {len(wrong)} differ or are missing")
    return 1 if wrong or not count else 0


def main() -> int:
    """Command line; see `--help`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    recorded = commands.add_parser("record", help="run every command with a checkout and keep what it leaves behind")
    recorded.add_argument("--checkout", type=Path, required=True)
    recorded.add_argument("--out", type=Path, required=True, help="an empty directory")
    recorded.add_argument("--filled", type=Path, help="a record of an older checkout, whose audits are run again")
    compared = commands.add_parser("compare", help="compare two records value for value")
    compared.add_argument("a", type=Path)
    compared.add_argument("b", type=Path)
    options = parser.parse_args()
    if options.command == "compare":
        return compare(options.a.resolve(), options.b.resolve())
    record(options.checkout.resolve(), options.out.resolve(), options.filled and options.filled.resolve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
