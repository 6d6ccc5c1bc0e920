"""Find dataset files, download them with their published checksums, read archives without unpacking them."""

from __future__ import annotations

import http.client
import logging
import os
import shutil
import socket
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

from raymeter.errors import DataError, first_line, not_uploaded
from raymeter.storage.local_files import checksum

T = TypeVar("T")
TIMEOUT = 60.0  # seconds without a byte after which a mirror is given up

log = logging.getLogger("raymeter.data")


def find_file(names: Sequence[str], folders: Sequence[Path]) -> Path | None:
    """The first of some file names in the first of some folders that has any."""
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def missing(dataset: str, names: Sequence[str], folders: Sequence[Path], how: str) -> DataError:
    """The error for files that are not there: where they are expected and how to get them."""
    places = " or ".join(str(folder) for folder in folders)
    return DataError(f"{dataset}: {', '.join(names)} not found in {places} (data.data_dir); {how}{not_uploaded()}")


def report_checksum(dataset: str, path: Path) -> None:
    """Log the sha256 of a file for which no checksum was published."""
    log.info("%s: %s has sha256 %s", dataset, path, checksum(path, "sha256"))


def fetch(dataset: str, urls: Sequence[str], folder: Path, md5: str | None) -> Path:
    """Download a file from the first mirror that has it.

    The file gets its name only when it is complete and its checksum is right, so that no interrupted
    download is ever taken for a dataset.

    Args:
        dataset: Name for messages.
        urls: The same file at every mirror.
        folder: Where to put it.
        md5: Published checksum; None where there is none, and then only the address given is used
            (torchvision falls back from https to http, which is harmless with a checksum only).

    Raises:
        DataError: No mirror has it, or what came has another checksum.
    """
    name, reasons = urls[0].rsplit("/", 1)[-1], []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as part:
            for url in urls:
                try:
                    _download(url, Path(part), name, md5)
                    os.replace(Path(part) / name, folder / name)
                    return folder / name
                except (urllib.error.URLError, http.client.HTTPException, OSError, RuntimeError) as error:
                    reasons.append(f"{url}: {first_line(error)}")
    except OSError as error:
        reasons.append(str(error))
    raise DataError(
        f"{dataset}: download failed ({'; '.join(reasons)}); put {name} into {folder} by hand "
        "or set data.data_dir to where it is"
    )


def _download(url: str, folder: Path, name: str, md5: str | None) -> None:
    """Leave a complete file in the folder, or raise."""
    (folder / name).unlink(missing_ok=True)
    if md5 is None:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, (folder / name).open("wb") as file:
            shutil.copyfileobj(response, file)
            if response.length:
                raise OSError(f"connection closed with {response.length} bytes to go")
        return
    from torchvision.datasets.utils import download_url  # slow to load, and not needed for files that are here

    with _socket_timeout(TIMEOUT):
        try:
            download_url(url, str(folder), name, md5)
        except RuntimeError as error:
            raise RuntimeError(f"what came does not have the published md5 {md5}") from error


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """torchvision waits forever for a silent server; this is the only handle on it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def read_members(path: Path, names: Sequence[str], read: Callable[[IO[bytes], str], T]) -> dict[str, T]:
    """Read named files straight out of a tar archive, in one pass and without unpacking anything.

    Args:
        path: The archive, compressed or not.
        names: Paths of the wanted files at the end of their path in the archive.
        read: Called with each open file and its name.

    Raises:
        DataError: The archive is corrupt, truncated, or lacks one of the files.
    """
    contents: dict[str, T] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = next((n for n in names if f"/{member.name}".endswith(f"/{n}")), None)
                file = archive.extractfile(member) if name is not None and member.isfile() else None
                if file is not None and name is not None and name not in contents:
                    contents[name] = read(file, name)
                if len(contents) == len(names):
                    return contents
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} is corrupt ({first_line(error)}); delete it and get it again") from error
    absent = ", ".join(name for name in names if name not in contents)
    raise DataError(f"{path} has no file {absent}; delete it and get it again")
