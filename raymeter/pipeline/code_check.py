"""Whether what a run directory holds was made by the code that there is now, asked before any of it is reused.

Trained models and paid answers are refused where their code has changed; signals are computed anew. What an earlier
version wrote without such hashes is reused or computed anew as before, and is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from raymeter.attacks import regressors_of
from raymeter.config.load import AuditConfig
from raymeter.config.user_code import code_of
from raymeter.errors import StoreError
from raymeter.schema.user_code import ROUNDING, UserCode
from raymeter.signals.targets.answers import SENT, place_of
from raymeter.signals.targets.weights import WEIGHTS
from raymeter.storage.code_book import CODE, CodeBook, Remembered
from raymeter.storage.model_store import ModelStore
from raymeter.storage.run_store import IDENTITY, RunStore

Note = Callable[[str], None]
Found = dict[str, Remembered]  # by function, to be written down once the directory is this audit's


def check_code(config: AuditConfig, num_classes: int, store: RunStore, note: Note) -> Found:
    """Hold the user's code against that which made the models, signals and answers of a directory.

    Args:
        config: Of the audit.
        num_classes: Of its dataset.
        store: The run directory.
        note: Says a line: what is computed anew, or reused although its code is not known.

    Returns:
        What is to be remembered of the code.

    Raises:
        StoreError: Code of trained models or of stored answers has changed; names the files.
    """
    book = CodeBook(store)
    trained = _check_training(config, book, note)
    answered = _check_answers(config, num_classes, book, note)
    return _check_signals(config, book, note) | answered | trained  # of a function with two uses the strictest holds


def _check_training(config: AuditConfig, book: CodeBook, note: Note) -> Found:
    found = Found()
    functions = ("model", "train.model_name", config.train.model_name), ("fit", "train.fit", config.train.fit)
    own = [(part, key, name) for part, key, name in functions if name is not None and ":" in name]
    run = _record(book.store, IDENTITY) if own else {}
    train = run.get("train", {})
    for part, key, name in own:
        now, before = code_of(name), book.recall(name)
        if not run and (before is None or ModelStore(book.store).holds_none(range(config.num_models))):
            found[name] = Remembered(now)
            continue
        if run and train.get(part) != name:  # another model: what a directory is an audit of says so
            continue
        if before is None or _serious(now, before.code):
            if ModelStore(book.store).holds_none(range(config.num_models)):
                found[name] = Remembered(now)  # an audit that ended before it had trained any
                continue
        if before is None:
            before = _of_an_earlier_version(now, train.get(f"{part}_source"))
        whose = f"{book.store.name} holds models of other code: {key} {name}"
        own_file_too = now.files.get(now.main) != before.code.files.get(now.main)  # run.json has its hash as well
        way_on = "" if own_file_too else _way_on(book)
        _refuse(now, before.code, whose, f"choose another run.log_dir, or delete that directory{way_on}")
        _tell(key, name, before, "the models were trained", note)
        rounding = [line for line in now.changes_since(before.code) if line.split()[0] in ROUNDING]
        if rounding:
            note(f"{key}: since the models were trained, {', '.join(rounding)}: last digits of new ones may differ")
        found[name] = replace(before, code=now)
    return found


def _of_an_earlier_version(now: UserCode, source: str | None) -> Remembered:
    """What run.json says where only the function's own file was hashed."""
    files = {**now.files, now.main: source} if source and now.main else now.files
    unsure = [name for name in files if not source or name != now.main]
    return Remembered(replace(now, files=files), (*unsure, *(name for name in now.packages if name not in ROUNDING)))


def _check_answers(config: AuditConfig, num_classes: int, book: CodeBook, note: Note) -> Found:
    target = config.audit.target
    if target is None or target.query is None:
        return {}
    name, place = target.query, place_of(target.query, num_classes)
    now, before = code_of(name), book.recall(name)
    if book.store.read_json(f"{place}/{SENT}") is None:
        return {name: Remembered(now)}
    before = before or Remembered(now, (*now.files, *(name for name in now.packages if name not in ROUNDING)))
    again = f"delete {book.store.name}/{place} to ask again, or choose another run.log_dir{_way_on(book)}"
    _refuse(now, before.code, f"audit.target.query: {name} has stored answers, which are of other code", again)
    _tell("audit.target.query", name, before, "the stored answers were given", note)
    return {name: replace(before, code=now)}


def _check_signals(config: AuditConfig, book: CodeBook, note: Note) -> Found:
    """Those of a target from elsewhere, and QMIA's predictions: their keys hold the code, so they are computed anew."""
    found = Found()
    for key, name, what, is_stored in _made_by_code(config, book.store):
        now, before = code_of(name), book.recall(name)
        if before is None and is_stored():
            note(f"{key}: {name}: {what} of an earlier version do not say which code made them; they are computed anew")
        elif before is not None and (changes := now.changes_since(before.code)):
            note(f"{key}: {name}: {', '.join(changes)} since {what} were stored; they are computed anew")
        found[name] = Remembered(now)
    return found


def _made_by_code(config: AuditConfig, store: RunStore) -> Iterator[tuple[str, str, str, Callable[[], bool]]]:
    """Key, function, what it made, and whether any of that is stored."""
    target = config.audit.target
    if target is not None and target.weights is not None:
        key, name = "audit.target.model", target.model
        if name is None:
            key, name = "train.model_name", config.train.model_name
        if ":" in name:
            folder, _, file = WEIGHTS.rpartition("/")
            yield key, name, "signals of the target", lambda: file in store.list(folder)
    for recipe in regressors_of(list(config.attacks.values())):
        if ":" in recipe.model:
            yield (
                "audit.attacks",
                recipe.model,
                "predictions of qmia",
                partial(_has_predictions, store, recipe.regressor),
            )


def _has_predictions(store: RunStore, regressor: str) -> bool:
    names = [name for name in store.list("signals") if name.startswith("qmia_") and name.endswith(".json")]
    return any(_record(store, f"signals/{name}").get("regressor") == regressor for name in names)


def _record(store: RunStore, path: str) -> dict[str, Any]:
    """What a sealed record says; nothing where it is damaged: who needs it whole says so."""
    try:
        return store.read_sealed(path, "") or {}
    except StoreError:
        return {}


def _refuse(now: UserCode, before: UserCode, whose: str, way_out: str) -> None:
    changes = _serious(now, before)
    if changes:
        more = f", and {len(changes) - 3} more" if len(changes) > 3 else ""
        raise StoreError(f"{whose}: {', '.join(changes[:3])}{more}. Put that back, {way_out}")


def _serious(now: UserCode, before: UserCode) -> list[str]:
    """What differs and may change more than last digits."""
    return [line for line in now.changes_since(before) if line.split()[0] not in ROUNDING]


def _way_on(book: CodeBook) -> str:
    """For an edit that decides nothing: what was written down is given up, and every report of it says so."""
    return f"; if the edit decides no figure, delete {book.store.name}/{CODE}"


def _tell(key: str, name: str, before: Remembered, since: str, note: Note) -> None:
    if before.unsure:
        some = ", ".join(before.unsure[:3]) + (f" and {len(before.unsure) - 3} more" if len(before.unsure) > 3 else "")
        note(
            f"{key}: {name}: whether {some} is as when {since} is not known, as no hash was kept then; it is believed, "
            "and edits from now on are noticed"
        )
