"""What a training slot gets, and what the processes load that only pass it on."""

import subprocess
import sys

SCRIPT = """
import pickle, sys
from raymeter.distributed.training.work import TrainingWork
work = TrainingWork(None, None, None, 10, {"model": "cnn"}, 0, "/tmp/run", 10.0, 1, "data")
assert pickle.loads(pickle.dumps(work)) == work
print(sorted(name for name in ("torch", "numpy", "raymeter.schema") if name in sys.modules))
"""


def test_work_is_unpickled_without_torch_numpy_or_the_schema():
    """Ray Train's controllers unpickle it once a slot: what it loads is paid by every slot."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
