"""Start an embedded Ray, or connect to a cluster; what goes wrong is one line with the way out."""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from raymeter.config.ray_address import address_problem
from raymeter.distributed.cluster_probe import require_answer
from raymeter.distributed.ray_internals.on_demand import end_unfinished_start, found_cluster, loopback_only
from raymeter.errors import ConfigError, RunError, type_and_line
from raymeter.errors.last_word import last_word

log = logging.getLogger("raymeter")
STARTS = 2  # of an embedded Ray: a busy machine may miss Ray's own limits once
ENDED_STARTING = (
    "error: this process was ended while Ray was starting; wait until the machine is less busy, free some memory, and "
    "start the same command again, with --verbose to see more"
)
ENDED_CONNECTING = (
    "error: this process was ended while it was let into the Ray cluster at {place}, whose node on this machine does "
    "not answer; see whether it is up, and check {key}"
)
SAY_AFTER = 15.0  # seconds that a cluster which answers may take to let this process in before that is said
BUSY = (errno.EAGAIN, errno.ENOMEM)  # errors of the system that pass
DIRECTORIES = ("RAY_TMPDIR", "TMPDIR")  # where Ray puts its sockets and logs; the first that is set


def start_embedded(options: dict[str, Any], verbose: bool) -> None:
    """Start a Ray that only this machine can reach; once more where the machine was too busy for the first.

    Raises:
        ConfigError: Ray's directory cannot hold its sockets, or cannot be written.
        RunError: Ray does not start; whatever was started of it is ended.
    """
    for start in range(STARTS):
        try:
            with last_word(ENDED_STARTING), _silence(verbose), loopback_only():
                ray.init(address="local", **options)
            return
        except Exception as error:
            end_unfinished_start(error)
            if isinstance(error, OSError) and error.errno not in BUSY and not _is_timeout(error):
                raise ConfigError(_about_directory(error)) from None
            if isinstance(error, ValueError | TypeError | ImportError):  # no second start would help
                raise RunError(f"Ray cannot start ({type_and_line(error)}); see what `raymeter doctor` says") from None
            if start + 1 == STARTS:
                raise RunError(
                    f"Ray did not start, {STARTS} times in a row ({_short(error)}); wait until the machine is less "
                    "busy, free some memory, or see more with --verbose"
                ) from None
            log.warning("Ray did not start in time (%s); trying once more", _short(error))
        except BaseException as stop:  # an interrupt: nothing half-started may stay in a session that goes on
            end_unfinished_start(stop)
            raise


def find_cluster(address: str, key: str) -> str:
    """Where a running cluster answers.

    Args:
        address: As the user gave it.
        key: Where: `cluster.address` or `RAY_ADDRESS`.

    Returns:
        The address as Ray takes it.

    Raises:
        ConfigError: It is no address of Ray.
        RunError: No cluster answers there.
    """
    if problem := address_problem(address):
        raise ConfigError(f"{key}: {problem}; leave it out for a Ray of the audit's own")
    place = found_cluster() if address == "auto" else address
    if place is None:
        raise RunError(f"{key} is auto, and no Ray cluster runs on this machine; start one, or leave the address out")
    if place != "auto":
        require_answer(place, key)
    return place


def connect(address: str, key: str, options: dict[str, Any], verbose: bool) -> None:
    """Connect to a running cluster; arguments as `find_cluster` has them.

    Raises:
        ConfigError, RunError: As `find_cluster`; or the cluster does not let this process in.
    """
    place = find_cluster(address, key)
    try:
        with _patience_said(place), last_word(ENDED_CONNECTING.format(place=place, key=key)), _silence(verbose):
            ray.init(address=place, **options)
    except Exception as error:
        _leave()
        raise RunError(
            f"the Ray cluster at {place} does not let this process in ({_short(error)}); run this on a node of the "
            f"cluster with its versions of Ray and Python and its token, or check {key}"
        ) from None
    except BaseException:
        _leave()
        raise


def _leave() -> None:
    try:
        ray.shutdown()
    except Exception:  # what never was connected has nothing to end
        log.debug("Ray could not be left", exc_info=True)


def _is_timeout(error: OSError) -> bool:
    """Whether this is Ray's own text about a connection or a wait, and not the system's about a file."""
    return isinstance(error, TimeoutError | ConnectionError)


def _short(error: BaseException) -> str:
    """The type and the text of an exception in one line of bounded length: Ray's may be long."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 200 else f"{text[:197]}..."


def _about_directory(error: OSError) -> str:
    """Why Ray's directory cannot be used, and which variable says another."""
    name = next((name for name in DIRECTORIES if os.environ.get(name)), "")
    whose = f"{name} is {os.environ[name]:.80}" if name else "it is in /tmp"
    if "AF_UNIX" in str(error):
        return (
            f"Ray cannot start: the paths of its sockets would be longer than 107 bytes, since {whose}; "
            "set RAY_TMPDIR=/tmp"
        )
    where = f"{error.filename}: " if error.filename else ""
    return (
        f"Ray cannot start: its directory cannot be used ({where}{error.strerror or error}), and {whose}; set "
        "RAY_TMPDIR to a short path that can be written"
    )


@contextmanager
def _patience_said(place: str) -> Iterator[None]:
    """Say that a cluster which answers takes long; Ray itself gives up after a minute."""
    line = "the Ray cluster at %s answers, but has no node on this machine yet; waiting for up to a minute"
    timer = threading.Timer(SAY_AFTER, lambda: log.warning(line, place))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _silence(verbose: bool) -> Iterator[None]:
    """Silence Ray's own processes and C++ code while they start; what fails is raised as an exception anyway."""
    if verbose:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
