"""Find dataset files, or download them with their published checksums."""

from __future__ import annotations

import hashlib
import logging
import urllib.error
from collections.abc import Sequence
from pathlib import Path

from torchvision.datasets.utils import check_integrity, download_url

from raymeter.errors import DataError

log = logging.getLogger("raymeter.data")


def find_file(names: Sequence[str], folders: Sequence[Path]) -> Path | None:
    """The first of some file names in the first of some folders."""
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def missing(dataset: str, names: Sequence[str], folder: Path, how: str) -> DataError:
    """The error for files that are not there: where they are expected and how to get them."""
    return DataError(f"{dataset}: {', '.join(names)} not found in {folder}; {how}")


def fetch(dataset: str, urls: Sequence[str], folder: Path, md5: str | None) -> Path:
    """Download a file from the first mirror that has it, and check it.

    Raises:
        DataError: No mirror answers, or what came has another checksum.
    """
    name = urls[0].rsplit("/", 1)[-1]
    target, reasons = folder / name, []
    for url in urls:
        try:
            download_url(url, str(folder), name, md5)
            if md5 is not None and not check_integrity(str(target), md5):
                raise RuntimeError("wrong checksum")
            break
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            target.unlink(missing_ok=True)
            reasons.append(f"{url}: {error}")
    else:
        raise DataError(
            f"{dataset}: download failed ({'; '.join(reasons)}); put {name} into {folder} by hand "
            "or set data.data_dir to where it is"
        )
    log.info("%s: %s has sha256 %s", dataset, target, hashlib.sha256(target.read_bytes()).hexdigest())
    return target
