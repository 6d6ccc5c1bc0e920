"""`python -m growing AUDIT.yaml NODES.json`: run an audit on the Ray of RAY_ADDRESS and watch how many workers there are.

It waits at the end until the last worker is gone.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import ray

from raymeter import audit
from raymeter.config.load import load_config
from raymeter.distributed.session import connected

LONGEST_IDLE = 120.0


def workers() -> int:
    """Nodes besides the head."""
    return sum(node["Alive"] for node in ray.nodes()) - 1


def main(path: str, where: str) -> None:
    seen, over = [], threading.Event()

    def watch() -> None:
        while not over.is_set():
            if (now := workers()) not in seen[-1:]:
                seen.append(now)
            time.sleep(0.2)

    config = load_config(path)
    with connected(config.cluster):
        watcher = threading.Thread(target=watch)
        watcher.start()
        audit(config)
        during, deadline = list(seen), time.monotonic() + LONGEST_IDLE
        while workers() and time.monotonic() < deadline:
            time.sleep(0.2)
        over.set()
        watcher.join()
        seen.append(workers())
    Path(where).write_text(json.dumps({"during": during, "all": seen}))


if __name__ == "__main__":
    main(*sys.argv[1:])
