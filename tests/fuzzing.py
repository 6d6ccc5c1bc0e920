"""Malformed configurations and data files, made with a fixed seed, and commands run on them in processes of their own.

`benchmarks/fuzz.py` runs thousands, `tests/verbs/test_fuzz.py` a few. A command is run in a fork of this process, so
that its imports are paid once, and with a limit of time; what it took of memory is counted above what this process has.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
import yaml
from audits import stored_audit
from layouts import leakpro, lira, lira_analysis, privacy_meter, privacyguard, truth
from pyarrow import csv, parquet
from results import sample

from raymeter.cli.main import main
from raymeter.config.load import AuditConfig
from raymeter.models import build_model
from raymeter.report.write import write_report
from raymeter.schema.plain_files import file_bytes
from raymeter.storage.local_files import sha256

SECONDS, MEMORY = 30.0, 2**30  # after which a command hangs; what it may take above this process
ALLOWED = (0, 2, 3)  # a changed file may still be a good one, and a gate may fail
Change = Callable[[np.random.Generator, bytes], bytes]


@dataclass(frozen=True)
class Case:
    """A command, and the one thing that was changed before it."""

    change: str
    argv: tuple[str, ...]
    kept: tuple[Path, ...] = ()  # directories that it must leave as they are where it ends with an error


@dataclass(frozen=True)
class End:
    """How a command ended."""

    code: int
    output: str
    errors: str
    seconds: float
    memory: int
    altered: bool

    def problem(self) -> str:
        """What is wrong with this end; empty where nothing is."""
        lines = [line for line in self.errors.splitlines() if "error: " in line]
        if self.code == -signal.SIGKILL:
            return f"hangs: more than {SECONDS:g} s"
        if self.code == 1 and "problem   " in self.output and not self.errors:
            return ""  # what `raymeter doctor` has found
        if self.code not in ALLOWED or "Traceback" in self.errors + self.output:
            return f"ends with code {self.code}: {self.errors[-600:]}"
        if self.code == 2 and (len(lines) != 1 or not lines[0].split("error: ", 1)[1].strip()):
            return f"{len(lines)} lines of errors: {self.errors[-600:]}"
        if re.search("[\x00-\x08\x0b-\x1f\x7f]", self.errors + self.output):
            return "prints control characters"
        if self.memory > MEMORY:
            return f"takes {self.memory / 2**30:.2f} GiB"
        return "alters a directory that it refuses" if self.altered else ""


def run(case: Case, folder: Path) -> End:
    """Run a command in a fork, from a folder."""
    before, start = [digest(path) for path in case.kept], time.monotonic()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        here = _resident()
        child = os.fork()
        if not child:
            _become(case.argv, folder, output.fileno(), errors.fileno())
        status, usage = _wait(child)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    code = os.waitstatus_to_exitcode(status)
    altered = code not in (0, 3) and before != [digest(path) for path in case.kept]
    return End(code, texts[0], texts[1], time.monotonic() - start, usage.ru_maxrss * 1024 - here, altered)


def _become(argv: Sequence[str], folder: Path, output: int, errors: int) -> None:
    """Turn this fork into the command; does not return."""
    code = 1
    try:
        os.dup2(output, 1)
        os.dup2(errors, 2)
        sys.stdout, sys.stderr = io.TextIOWrapper(io.FileIO(1, "w")), io.TextIOWrapper(io.FileIO(2, "w"))
        os.chdir(folder)
        torch.set_num_threads(1)  # its threads are not in a fork, and would be waited for
        code = main(list(argv))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int) -> tuple[int, object]:
    """The status and the resources of a child; it is killed when its time is over."""
    deadline = time.monotonic() + SECONDS
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return status, usage
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)


def _resident() -> int:
    """Bytes that a fork begins with: it has this process's own memory, and none of the pages of files."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def digest(folder: Path) -> str:
    """A hash of all names and contents below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return sha256(
        json.dumps(
            [(str(path.relative_to(folder)), sha256(file_bytes(path))) for path in files if path.is_file()]
        ).encode()
    )


# --- what is done to bytes ---------------------------------------------------------------------


def flip(rng: np.random.Generator, data: bytes) -> bytes:
    """Some bits, half of the time of the first bytes, where headers are."""
    changed = bytearray(data)
    end = min(len(data), 200) if rng.random() < 0.5 else len(data)
    for place in rng.integers(0, end, rng.integers(1, 20)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(rng: np.random.Generator, data: bytes) -> bytes:
    """The end is missing."""
    return data[: int(rng.integers(0, len(data)))]


def repeat(rng: np.random.Generator, data: bytes) -> bytes:
    """A part stands twice."""
    start, end = sorted(int(place) for place in rng.integers(0, len(data), 2))
    return data[:end] + data[start:]


def blank(rng: np.random.Generator, data: bytes) -> bytes:
    """A part is zeros."""
    start = int(rng.integers(0, len(data)))
    width = int(rng.integers(1, 64))
    return data[:start] + bytes(min(width, len(data) - start)) + data[start + width :]


def noise(rng: np.random.Generator, data: bytes) -> bytes:
    """A part is random bytes of another length."""
    start, end = sorted(int(place) for place in rng.integers(0, len(data), 2))
    return data[:start] + rng.bytes(int(rng.integers(0, 100))) + data[end:]


def other(rng: np.random.Generator, data: bytes) -> bytes:
    """Something else altogether."""
    things = (
        b"",
        b"\0" * 1000,
        b"{" * 5000,
        b"[" * 100_000,
        rng.bytes(500),
        "x,y\n1,2\n".encode("utf-16"),
        b"PK\3\4",
        b"PAR1",
    )
    return things[int(rng.integers(len(things)))]


CHANGES: tuple[Change, ...] = (flip, flip, cut, repeat, blank, noise, other)

# --- configurations ----------------------------------------------------------------------------

VALUES = (
    None, True, False, [], {}, "", " ", -1, 0, 1, 2, 0.5, -0.0, 1e-320, 1e300, float("inf"), float("nan"), 2**31,
    2**53 + 1, 2**63 - 1, -(2**63), "x" * 3000, "\x1b[31mred", "a\nb", "../../etc/passwd", "/dev/zero", "/dev/null",
    "os:system", "nothing:here", ":", "a:b:c", "s3://", "s3://key:secret@/", "http://127.0.0.1:1/", "é\u202e", "\ud800x",
    [1, [2]], {"a": 1}, ["loss", "loss"], [{"name": "rmia", "a": -1}], [{"name": 3}], [None], "2026-11-27", "1e3", "0x10",
    {"name": "lira"}, "loss", "rmia", "digits", "arrays", "mlp", "cifar10", "SGD", "audit.npz", "members.csv",
)  # fmt: skip
BASE = {
    "run": {"log_dir": "run", "random_seed": 0},
    "audit": {"views": ["identity"], "num_ref_models": 1, "population_size": 100},
    "train": {"model_name": "mlp", "epochs": 1},
    "data": {"dataset": "digits", "pool_size": 200},
}


def configurations(rng: np.random.Generator, folder: Path, doctors: float = 0.0) -> Iterator[Case]:
    """Commands on a changed configuration, without end; a share of them is `raymeter doctor`, which may start a Ray."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stored_audit(folder / "run", 4, 60)
    fields = {
        f"{section}.{key}": str(about.annotation)
        for section, field in AuditConfig.model_fields.items()
        for key, about in field.annotation.model_fields.items()
    }
    keys = list(fields)
    path, number = folder / "audit.yaml", 0
    while True:
        number += 1
        sections = {name: dict(values) for name, values in BASE.items()}
        if rng.random() < 0.4:
            data = CHANGES[int(rng.integers(len(CHANGES)))](rng, yaml.safe_dump(sections).encode())
            told, overrides = f"text {number}", []
        else:
            overrides, chosen = [], []
            for _ in range(int(rng.integers(1, 4))):
                key = keys[int(rng.integers(len(keys)))]
                value = _value_for(rng, fields[key])
                key += ".x" if rng.random() < 0.05 else ""
                chosen.append(f"{key}={value!r:.60}")
                if rng.random() < 0.5:
                    overrides.append(
                        f"{key}={value if isinstance(value, str) else json.dumps(value)}".replace("\0", "")
                    )
                else:
                    section, _, name = key.partition(".")
                    sections[section] = {**sections.get(section, {}), name: value}
            data, told = yaml.safe_dump(sections, allow_unicode=True).encode(errors="replace"), ", ".join(chosen)
        overrides = [text.encode(errors="replace").decode() for text in overrides]
        verb = ("doctor",) if rng.random() < doctors else ("audit",)
        flags = ("--dry-run",) if verb == ("audit",) else ()
        path.write_bytes(data)
        yield Case(told, (*verb, str(path), *overrides, *flags), (folder / "run",))


def _value_for(rng: np.random.Generator, annotation: str) -> object:
    """Any value, or more often one of a type that a key takes."""
    kinds = {"float": (int, float), "int": int, "str": str, "bool": bool, "tuple": list, "list": list, "Mapping": dict}
    wanted = [kind for name, kind in kinds.items() if name in annotation]
    fitting = [value for value in VALUES if any(isinstance(value, kind) for kind in wanted)]
    chosen = fitting if fitting and rng.random() < 0.8 else VALUES
    return chosen[int(rng.integers(len(chosen)))]


# --- data files --------------------------------------------------------------------------------


def data_files(rng: np.random.Generator, folder: Path) -> Iterator[Case]:
    """Commands on a changed data file, every one of which was good before; without end."""
    commands = list(good_commands(folder))
    while True:
        for what, argv, files, kept in commands:
            file = files[int(rng.integers(len(files)))]
            good = file.read_bytes()
            change = CHANGES[int(rng.integers(len(CHANGES)))]
            file.write_bytes(change(rng, good))
            try:
                yield Case(f"{what}: {change.__name__} {file.relative_to(folder)}", argv, kept)
            finally:
                file.write_bytes(good)
                shutil.rmtree(folder / "out", ignore_errors=True)


Command = tuple[str, tuple[str, ...], tuple[Path, ...], tuple[Path, ...]]  # name, argv, its files, what is kept


def good_commands(folder: Path) -> Iterator[Command]:
    """Commands that succeed, each with the files that it reads."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    out = str(folder / "out")
    yield from _tables(folder, out)
    yield from _signals(folder, out)
    yield from _layouts(folder, out)
    yield from _directories(folder, out)
    yield from _audits(folder)


def _tables(folder: Path, out: str) -> Iterator[Command]:
    rng = np.random.default_rng(0)
    member = np.arange(60) % 2 == 0
    table = pa.table(
        {"id": np.arange(60), "score": rng.normal(size=60) + member, "member": member, "group": ["a", "b"] * 30}
    )
    csv.write_csv(table, folder / "scores.csv")
    parquet.write_table(table, folder / "scores.parquet")
    for name in ("scores.csv", "scores.parquet"):
        yield f"score {name}", ("score", str(folder / name), "--out", out), (folder / name,), ()


def _signals(folder: Path, out: str) -> Iterator[Command]:
    found = truth()
    prob = found.prob[:, :, 0]
    files = {
        name: folder / name for name in ("s.npy", "s.npz", "s.pt", "members.npy", "ids.npy", "labels.npy", "pop.npy")
    }
    np.save(files["s.npy"], prob)
    np.savez_compressed(files["s.npz"], signals=prob, member=found.member)
    torch.save(torch.from_numpy(prob), files["s.pt"])
    np.save(files["members.npy"], found.member)
    np.save(files["ids.npy"], np.arange(len(prob)))
    np.save(files["labels.npy"], found.labels)
    np.save(files["pop.npy"], np.random.default_rng(1).uniform(0.1, 0.9, (20, prob.shape[1])))
    extras = ("ids.npy", "labels.npy", "members.npy")
    flags = [part for name in extras for part in (f"--{name.removesuffix('.npy')}", str(files[name]))]
    for name in ("s.npy", "s.npz", "s.pt"):
        argv = (
            "score",
            "--signals",
            str(files[name]),
            "--kind",
            "prob",
            *flags,
            "--population",
            str(files["pop.npy"]),
            "--out",
            out,
        )
        yield f"score --signals {name}", argv, (files[name], *(files[name] for name in (*extras, "pop.npy"))), ()


def _layouts(folder: Path, out: str) -> Iterator[Command]:
    found = truth()
    for name, write in {
        "privacy-meter": privacy_meter, "lira": lira, "lira-analysis": lira_analysis, "leakpro": leakpro,
        "privacyguard": privacyguard,
    }.items():  # fmt: skip
        place = folder / name
        write(place, found)
        argv = ["import", "--format", name, str(place / "attack_cache" if name == "leakpro" else place), "--out", out]
        if name == "lira-analysis":
            np.save(folder / "classes.npy", found.labels)
            argv += ["--labels", str(folder / "classes.npy")]
        files = tuple(sorted(path for path in place.rglob("*") if path.is_file()))
        yield f"import {name}", tuple(argv), files, ()


def _directories(folder: Path, out: str) -> Iterator[Command]:
    """A finished run directory, and another one to compare it with."""
    runs = [folder / "run", folder / "run2"]
    for run_directory in runs:
        store = stored_audit(run_directory, 4, 60)
        write_report(sample(), lambda path, data, store=store: store.write(f"report/{path}", data))
    files = tuple(
        sorted(path for path in runs[0].rglob("*") if path.is_file() and path.suffix not in (".png", ".html"))
    )
    first, second = (str(path) for path in runs)
    for argv in (
        ("score", first, "--out", out, "--attacks", "[loss, rmia]"),
        ("compare", first, second),
        ("compare", second, first, "--json"),
        ("explain-difference", first, second),
        ("report", first),
        ("export", "--format", "lira", first, "--out", out),
    ):
        yield " ".join(argv[:1]), argv, files, (runs[1], *(runs[:1] if argv[0] != "report" else ()))


def _audits(folder: Path) -> Iterator[Command]:
    """Dry runs on the user's own data, with groups, members and weights."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 4)).astype(np.float32), np.arange(200) % 2
    np.savez(folder / "data.npz", x=x, y=y)
    parquet.write_table(pa.table({f"f{i}": x[:, i] for i in range(4)} | {"y": y}), folder / "data.parquet")
    csv.write_csv(pa.table({"id": np.arange(200), "group": ["a", "b"] * 100}), folder / "groups.csv")
    np.save(folder / "who.npy", np.arange(100))
    (folder / "who.txt").write_text("\n".join(str(row) for row in range(100)))
    csv.write_csv(pa.table({"row": np.arange(100)}), folder / "who.csv")
    torch.save(build_model("mlp", (4,), 2).state_dict(), folder / "weights.pt")
    base = {**BASE, "run": {"log_dir": str(folder / "new")}, "train": {"model_name": "mlp"}}
    people = {
        "age": [None, *range(1, 200)],
        "job": ["a", "b", None, "d"] * 50,
        "paid": [f"{i % 2}" for i in range(200)],
    }
    csv.write_csv(pa.table(people), folder / "people.csv")
    sections = {
        **base,
        "train": {"model_name": "tabular"},
        "data": {"dataset": "arrays", "path": str(folder / "people.csv"), "label": "paid", "pool_size": 100},
        "audit": {"num_ref_models": 1, "population_size": 50},
    }
    (folder / "people.yaml").write_text(yaml.safe_dump(sections))
    argv = ("audit", str(folder / "people.yaml"), "--dry-run")
    yield "audit people.csv", argv, (folder / "people.csv", folder / "people.yaml"), ()
    for name in ("data.npz", "data.parquet"):
        sections = {
            **base,
            "data": {"dataset": "arrays", "path": str(folder / name), "pool_size": 100},
            "audit": {"num_ref_models": 1, "population_size": 50, "groups": str(folder / "groups.csv")},
        }
        config = folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(sections))
        yield f"audit {name}", ("audit", str(config), "--dry-run"), (folder / name, folder / "groups.csv", config), ()
    for name in ("who.npy", "who.txt", "who.csv"):
        target = {"model": "mlp", "weights": str(folder / "weights.pt"), "members": str(folder / name)}
        sections = {
            **base,
            "data": {"dataset": "arrays", "path": str(folder / "data.npz")},
            "audit": {"num_ref_models": 1, "target": target},
        }
        config = folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(sections))
        yield f"audit target {name}", ("audit", str(config), "--dry-run"), (folder / name, folder / "weights.pt"), ()
