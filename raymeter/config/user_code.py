"""Which code decides what a function of the user's does: found by reading, so that nothing is imported for it.

Files of the user's own folders count by their bytes and are read for what they import in turn, also within functions;
installed packages count by their versions. What code opens or imports by a name that it computes is not seen.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import metadata
from importlib.util import resolve_name
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from raymeter.schema.user_code import UserCode

INSTALLED = ("site-packages", "dist-packages")  # folders of packages; everything else is the user's own
PLAIN = (str, bytes, int, float, complex, bool, type(None))


def code_of(name: str) -> UserCode:
    """The code behind `module:function`, at present; where nothing can be found, nothing is in it."""
    module, _, function = name.partition(":")
    walk, loaded = _Walk(), sys.modules.get(module)
    if loaded is not None and not getattr(loaded, "__file__", None) and not hasattr(loaded, "__path__"):
        walk.session(loaded, function)
    else:
        importlib.invalidate_caches()  # a file may be as young as this second
        walk.module(module)
    main = walk.names.get(module, next(iter(walk.files), ""))
    return UserCode(dict(sorted(walk.files.items())), dict(sorted(walk.packages.items())), main)


class _Place(NamedTuple):
    """Where a module lies: its file, if it has one, and where its parts are, if it is a package."""

    file: Path | None
    folders: Sequence[str] | None


def _find(name: str) -> _Place | None:
    """The place of a module, without importing it or any package that it is part of."""
    place: _Place | None = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        full = ".".join(parts[:depth])
        if depth > 1 and (place is None or place.folders is None):
            return None
        place = _place_of(full, None if place is None else place.folders)
    return place


def _place_of(name: str, folders: Sequence[str] | None) -> _Place | None:
    loaded = sys.modules.get(name)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        parts = getattr(loaded, "__path__", None)
        return _Place(None if file is None else Path(file), None if parts is None else list(parts))
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        try:
            spec = None if find is None else find(name, folders)
        except KeyError:  # a folder without __init__.py, in a package that is not imported: Python asks for that
            inner = [Path(folder, name.rpartition(".")[2]) for folder in folders or ()]
            return _Place(None, [str(folder) for folder in inner if folder.is_dir()])
        if spec is not None:
            parts = spec.submodule_search_locations
            file = spec.origin if spec.has_location else None
            return _Place(None if file is None else Path(file), None if parts is None else list(parts))
    return None


class _Walk:
    """Follows imports from file to file."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.packages: dict[str, str] = {}
        self.names: dict[str, str] = {}  # of files, by module
        self.seen: set[str] = set()

    def module(self, name: str) -> None:
        """A module, the packages that it is part of, and what they import."""
        waiting = [name]
        while waiting:
            parts = waiting.pop().split(".")
            for depth in range(1, len(parts) + 1):
                full = ".".join(parts[:depth])
                if full not in self.seen:
                    self.seen.add(full)
                    waiting += self._look_at(full)

    def _look_at(self, name: str) -> list[str]:
        """Note one module; what it imports, where it is the user's own."""
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top == "raymeter":
            return []
        place = _find(name)
        if place is None:
            return []
        for path in [place.file] if place.file else map(Path, place.folders or ()):
            folder = next((parent for parent in path.parents if parent.name in INSTALLED), None)
            if folder is not None:
                self.packages |= _versions(top, folder)
                return []
        if place.file is None:
            return []
        try:
            content = place.file.read_bytes()
        except OSError:
            return []
        parts = name.split(".") if place.folders is not None else name.split(".")[:-1]
        self.names[name] = "/".join([*parts, place.file.name])
        self.files[self.names[name]] = hashlib.sha256(content).hexdigest()
        return list(_imports(content, name if place.folders is not None else name.rpartition(".")[0]))

    def session(self, module: ModuleType, function: str) -> None:
        """A function that was written in a session, and what it uses of it."""
        waiting: list[tuple[str, Any]] = [(function, getattr(module, function, None))]
        while waiting:
            name, value = waiting.pop()
            key = f"{name} of this session"
            if key in self.files:
                continue
            if isinstance(value, PLAIN):
                self.files[key] = hashlib.sha256(repr(value).encode()).hexdigest()
            elif inspect.ismodule(value):
                self.module(value.__name__)
            elif getattr(value, "__module__", None) == module.__name__:
                self.files[key] = hashlib.sha256(_source(value)).hexdigest()
                waiting += _used_by(value)
            elif getattr(value, "__module__", None):
                self.module(value.__module__)


def _source(value: Any) -> bytes:
    """The text of a function or class; of one whose text is not kept, its compiled code."""
    try:
        return inspect.getsource(value).encode()
    except (OSError, TypeError):
        return b"".join(_compiled(function.__code__) for function in _functions(value))


def _compiled(code: CodeType) -> bytes:
    """What is compiled, without the addresses that a repr has."""
    inner = [_compiled(value) if isinstance(value, CodeType) else repr(value).encode() for value in code.co_consts]
    return b"".join([code.co_code, repr((code.co_names, code.co_varnames)).encode(), *inner])


def _functions(value: Any) -> list[FunctionType]:
    """A function itself, or the functions of a class."""
    inner = [value] if inspect.isfunction(value) else list(getattr(value, "__dict__", {}).values())
    return [function for function in inner if inspect.isfunction(function)]


def _used_by(value: Any) -> list[tuple[str, Any]]:
    """Names from outside that a function, or those of a class, use, with their values; in functions within, too."""
    used = []
    for function in _functions(value):
        names = _names(function.__code__)
        used += [(name, function.__globals__[name]) for name in names if name in function.__globals__]
        used += list(inspect.getclosurevars(function).nonlocals.items())
    return used


def _names(code: CodeType) -> list[str]:
    inner = [name for value in code.co_consts if isinstance(value, CodeType) for name in _names(value)]
    return [*code.co_names, *inner]


def _imports(source: bytes, package: str) -> Iterator[str]:
    """The modules that a file may import: `from a import b` may mean a module a.b."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a compiled module, or a file that is never imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            try:
                base = resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:  # beyond the top: not importable
                continue
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and not first.value.startswith("."):
                yield first.value


def _called(function: ast.expr) -> str:
    return getattr(function, "id", getattr(function, "attr", ""))


@lru_cache(maxsize=256)
def _versions(top: str, folder: Path) -> dict[str, str]:
    """Versions of the installed packages that a top-level module belongs to, by what is noted in its folder."""
    try:
        return {top: metadata.version(top)}
    except metadata.PackageNotFoundError:  # PIL is of pillow
        notes = (path for path in folder.iterdir() if path.suffix in (".dist-info", ".egg-info") and path.is_dir())
        packages = [metadata.Distribution.at(path) for path in notes if _lists(path, top)]
        return {package.name: package.version for package in packages} or {top: "of no known version"}


def _lists(notes: Path, top: str) -> bool:
    """Whether a package's own notes name a top-level module; all packages' notes as a whole would take a second."""
    try:
        if (notes / "top_level.txt").is_file():
            return top in (notes / "top_level.txt").read_text().split()
        files = b"\n" + (notes / "RECORD").read_bytes()
    except (OSError, UnicodeDecodeError):
        return False
    return any(f"\n{top}{end}".encode() in files for end in ("/", ".py,", "."))
