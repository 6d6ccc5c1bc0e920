"""Malformed configurations and data files through every verb: one line, code 2, bounded time and memory, or a finding.

    python benchmarks/fuzz.py configs --cases 1000
    python benchmarks/fuzz.py data --cases 1000 --seed 3

What is changed, and what counts as wrong, is in tests/fuzzing.py; a few cases of each run with the tests. It prints
every finding with its command, and ends with code 1 where there is any. One command in fifty of the first kind is
`doctor`, which may start a Ray.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack, closing
from functools import partial
from itertools import islice
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # forks and threads do not go together
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import matplotlib.pyplot  # noqa: E402, F401 - once for all forks
import numpy as np  # noqa: E402
import ray.data  # noqa: E402, F401
from fuzzing import configurations, data_files, run  # noqa: E402

KINDS = {"configs": partial(configurations, doctors=0.02), "data": data_files}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip", type=int, default=0, help="make so many cases without running them")
    parser.add_argument("--verbose", action="store_true", help="print how every case ended")
    options = parser.parse_args()
    codes: Counter[int] = Counter()
    slowest, largest, findings = 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        cases = stack.enter_context(
            closing(KINDS[options.kind](np.random.default_rng(options.seed), Path(folder, "cases")))
        )
        for number, case in enumerate(islice(cases, options.cases)):
            if number < options.skip:
                continue
            end = run(case, Path(folder))
            codes[end.code] += 1
            slowest, largest = max(slowest, end.seconds), max(largest, end.memory)
            if options.verbose:
                print(f"{number}. {case.change!a:.150} -> {end.code} {end.errors.strip()!a:.300}", flush=True)
            if problem := end.problem():
                findings += 1
                print(f"{number}. {case.change}\n   {' '.join(case.argv)!a:.300}\n   {problem}", flush=True)
    ends = ", ".join(f"{count} with code {code}" for code, count in sorted(codes.items()))
    print(f"{sum(codes.values())} cases: {ends}; {findings} findings")
    print(f"slowest {slowest:.1f} s, largest {largest / 2**20:.0f} MiB above the idle process")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
