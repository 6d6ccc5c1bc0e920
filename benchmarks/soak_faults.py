"""Kill or stop parts of small audits at random moments, many times, and compare every bit of what they find.

    python benchmarks/soak_faults.py [--repeats 20] [--kinds worker actor queue controller node driver] [--minutes 60]
    python benchmarks/soak_faults.py --slots 1 --kinds stop-worker stop-actor stop-queue stop-controller stop-gcs

Every audit trains four small models on real digits and collects their signals. In mid-run one process is killed with
SIGKILL: a training worker, a signal actor, the queue of leases, a controller of Ray Train, a whole node (its raylet and
all that runs there), or the driver, the GCS or the raylet of an audit that was started as a command, which is started
again when it has ended. Kinds that begin with `stop-` are stopped with SIGSTOP instead (`stop-raylet` is there, too).
Counted are audits whose signals differ from an undisturbed one's, finished models that were trained again, audits that
did not end in time, and ends and stops that were not told. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import ray
import yaml
from ray.cluster_utils import Cluster

from raymeter.config.load import AuditConfig, build_config
from raymeter.distributed.session import ENVIRONMENT, connected
from raymeter.distributed.signals import in_driver
from raymeter.pipeline.audit import run
from raymeter.pipeline.console import JsonConsole
from raymeter.pipeline.log_notes import log_as_notes
from raymeter.signals.stored import load_signals
from raymeter.storage.run_store import RunStore

PATIENCE = 240.0  # seconds after which an audit counts as hanging
MODELS = 4
VICTIMS = {
    "worker": "RayTrainWorker",
    "actor": "SignalActor",
    "queue": "ray::Leases",
    "controller": "TrainController",
}
SERVICES = {"gcs": "gcs_server", "raylet": "raylet"}  # by the name of the program
COMMANDS = ("driver", *SERVICES)  # what ends an audit, which is then started again
STOPS = tuple(f"stop-{kind}" for kind in (*VICTIMS, *SERVICES))


@dataclass
class Tally:
    """What became of the audits of one kind."""

    audits: int = 0
    struck: int = 0
    wrong: int = 0
    lost: int = 0
    hung: int = 0
    untold: int = 0
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def configuration(folder: Path) -> AuditConfig:
    """The small audit; its models are in training for seconds, and every epoch is saved."""
    return build_config(
        {
            "run": {"log_dir": str(folder)},
            "audit": {
                "num_ref_models": MODELS // 2 - 1,
                "views": ["identity"],
                "population_size": 300,
                "batch_size": 20,
                "attacks": ["loss"],
                "power_curve": False,
                "blind_baseline": False,
            },
            "train": {"model_name": "mlp", "epochs": 120, "learning_rate": 0.02, "checkpoint_interval": 0.0},
            "data": {"dataset": "digits", "pool_size": 800},
        }
    )


def audit(folder: Path) -> str:
    """One audit on the Ray of this process; returns what it said."""
    config, said = configuration(folder), io.StringIO()
    console = JsonConsole(stream=said)
    in_driver.MODELS_BYTES = 0  # so small a model's signals would need no actors, which are to be struck
    with log_as_notes(console):
        run(config, RunStore.at(config.run.log_dir), console)
    return said.getvalue()


def signals_in(folder: Path) -> list[np.ndarray]:
    """Every signal of a finished audit, as its files hold them."""
    signals = load_signals(RunStore.at(str(folder))).signals
    return [matrix.values for part in (signals.audit, signals.population) for matrix in part.values()]


def finished_models(folder: Path) -> dict[str, int]:
    """Markers of the models that are done, with the time of their writing."""
    found = {}
    for path in folder.glob("models/model_*.json"):
        try:
            found[path.name] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found


def below(name: str, parent: int | None = None) -> list[psutil.Process]:
    """Processes below this one, or another, whose command line, or whose program, is what is to be killed."""
    found = []
    for process in psutil.Process(parent).children(recursive=True):
        try:
            known = process.name() if name in SERVICES.values() else " ".join(process.cmdline())
            if name in known and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


class Striker(threading.Thread):
    """Waits for something to kill, then a random while, and kills; notes which models were done before."""

    def __init__(self, folder: Path, strike: Callable[[], bool], wait: float) -> None:
        super().__init__(daemon=True)
        self.folder, self.strike, self.wait = folder, strike, wait
        self.before: dict[str, int] = {}
        self.struck, self.ended = False, threading.Event()

    def run(self) -> None:
        time.sleep(self.wait)
        while not self.ended.is_set() and not self.struck:
            self.before = finished_models(self.folder)
            self.struck = self.strike()
            time.sleep(0.02)


def kill_one(name: str, rng: random.Random, number: int = signal.SIGKILL) -> bool:
    """Send SIGKILL, or another signal, to one such process, if there is any."""
    if not (found := below(name)):
        return False
    try:
        rng.choice(found).send_signal(number)
    except psutil.Error:
        return False
    return True


def judge(tally: Tally, folder: Path, expected: list[np.ndarray], before: dict[str, int]) -> None:
    """Compare an audit's signals with the undisturbed ones, and its models with those that were done before."""
    found = signals_in(folder)
    tally.wrong += not all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    after = finished_models(folder)
    tally.lost += sum(after.get(name) != when for name, when in before.items())


def in_time(tally: Tally, work: Callable[[], None]) -> bool:
    """Run the work in this thread; an alarm ends it where it takes too long."""

    def too_late(signum: int, frame: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    start = time.monotonic()
    try:
        work()
    except TimeoutError:
        tally.hung += 1
        return False
    except Exception as error:
        tally.failures.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        tally.seconds.append(time.monotonic() - start)
    return True


def soak_process(kind: str, tally: Tally, expected: list[np.ndarray], place: Path, rng: random.Random) -> None:
    """One audit of which one process is killed or stopped, on the Ray of this process."""
    folder, victim = place / f"{kind}_{tally.audits}", kind.removeprefix("stop-")
    name, number = (VICTIMS | SERVICES)[victim], signal.SIGKILL if victim == kind else signal.SIGSTOP
    # workers are up for seconds, signal actors for less than one
    wait = rng.uniform(0, 12 if victim != "actor" else 0.1)
    striker, said = Striker(folder, lambda: kill_one(name, rng, number), wait), []
    striker.start()
    if in_time(tally, lambda: said.append(audit(folder))):
        judge(tally, folder, expected, striker.before if striker.struck else {})
        tally.untold += striker.struck and victim != kind and "was stopped for" not in said[0]
    striker.ended.set()
    striker.join()
    tally.struck += striker.struck
    shutil.rmtree(folder, ignore_errors=True)


def soak_node(cluster: Cluster, tally: Tally, expected: list[np.ndarray], place: Path, rng: random.Random) -> None:
    """One audit during which one of three nodes goes."""
    while len(cluster.worker_nodes) < 3:
        cluster.add_node(num_cpus=1)  # in the main thread only
    folder = place / f"node_{tally.audits}"

    def strike() -> bool:
        if not below(VICTIMS["worker"]) and not below(VICTIMS["actor"]):
            return False
        time.sleep(rng.uniform(0, 4))
        cluster.remove_node(rng.choice(list(cluster.worker_nodes)), allow_graceful=False)
        return True

    striker = Striker(folder, strike, rng.uniform(0, 12))
    striker.start()
    if in_time(tally, lambda: audit(folder)):
        judge(tally, folder, expected, striker.before if striker.struck else {})
    striker.ended.set()
    striker.join()
    tally.struck += striker.struck
    shutil.rmtree(folder, ignore_errors=True)


def soak_command(kind: str, tally: Tally, expected: list[np.ndarray], place: Path, rng: random.Random) -> None:
    """One audit by its command, whose driver, GCS or raylet is killed, and which is started again."""
    folder = place / f"{kind}_{tally.audits}"
    file = place / "audit.yaml"
    file.write_text(yaml.safe_dump(configuration(folder).model_dump(mode="json", exclude_none=True)))
    command = [sys.executable, "-m", "raymeter.audit", str(file)]

    def work() -> None:
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            first.wait(rng.uniform(6, 25))
        except subprocess.TimeoutExpired:
            processes = psutil.Process(first.pid).children(recursive=True)
            victims = [psutil.Process(first.pid)] if kind == "driver" else below(SERVICES[kind], first.pid)
            for victim in victims:
                victim.kill()
            tally.struck += bool(victims)
            _, said = first.communicate()
            if victims and not (said.splitlines() or [""])[-1].startswith("error: "):
                tally.untold += 1
            if psutil.wait_procs(processes, timeout=30)[1]:
                tally.failures.append("processes of Ray were there after 30 s")
        before.update(finished_models(folder))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    before: dict[str, int] = {}
    if in_time(tally, work):
        judge(tally, folder, expected, before)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def three_nodes() -> object:
    """A cluster of a head that computes nothing; nodes of one CPU each come with every audit."""
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    ray.init(address=cluster.address, log_to_driver=False, logging_level="FATAL")
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20, help="audits of each kind")
    parser.add_argument("--kinds", nargs="+", default=[*VICTIMS, "node", *COMMANDS], help="what is killed")
    parser.add_argument("--slots", type=int, default=2, help="CPUs of the embedded Ray")
    parser.add_argument("--minutes", type=float, default=60, help="no audit begins after so many")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the victims")
    options = parser.parse_args()
    rng, end = random.Random(options.seed), time.monotonic() + 60 * options.minutes
    place = Path(tempfile.mkdtemp(prefix="raymeter_soak_"))
    embedded = build_config({"run": {"log_dir": "x"}, "cluster": {"num_cpus": options.slots}}).cluster
    with connected(embedded):
        audit(place / "undisturbed")
    expected = signals_in(place / "undisturbed")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Ray {ray.__version__}", flush=True)
    print("| struck | audits | strikes | wrong results | finished models lost | hangs | untold | failed | seconds |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    bad = 0
    for kind in options.kinds:
        tally = Tally()
        setting: AbstractContextManager[object] = nullcontext()
        if kind in VICTIMS or kind in STOPS:
            setting = connected(embedded)
        elif kind == "node":
            setting = three_nodes()
        with setting as cluster:
            while tally.audits < options.repeats and time.monotonic() < end:
                if kind in VICTIMS or kind in STOPS:
                    soak_process(kind, tally, expected, place, rng)
                elif kind == "node":
                    soak_node(cluster, tally, expected, place, rng)
                else:
                    soak_command(kind, tally, expected, place, rng)
                tally.audits += 1
        middle = f"{np.median(tally.seconds):.0f}" if tally.seconds else ""
        found = (tally.struck, tally.wrong, tally.lost, tally.hung, tally.untold, len(tally.failures))
        row = (kind, tally.audits, *found, middle)
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
        for failure in tally.failures:
            print(f"  {kind}: {failure}", file=sys.stderr, flush=True)
        bad += tally.wrong + tally.lost + tally.hung + tally.untold + len(tally.failures)
    shutil.rmtree(place, ignore_errors=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
