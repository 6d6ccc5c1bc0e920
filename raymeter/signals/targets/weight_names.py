"""Weights under the names that a wrapper gave them (DataParallel, torch.compile, Lightning) -> a model's own names.

What a prefix means is known only next to the model: it may have a layer called `module` itself.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from raymeter.errors import DataError

# of torch.compile, checkpointed and sharded layers: anywhere in a name, and never the name of a layer
WITHIN = ("_orig_mod.", "_checkpoint_wrapped_module.", "_fsdp_wrapped_module.")
WRAPPERS = ("module.", "_module.", "model.")  # of DataParallel and AveragedModel, Opacus, Lightning
BOOKKEEPING = ("n_averaged",)  # of AveragedModel, beside the weights
NAMED = 3  # other names that are shown
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class NamedWeights:
    """Weights by the names of the model, and what was made of theirs: an empty note where they were the same."""

    weights: Mapping[str, Tensor]
    note: str


def match_names(weights: Mapping[str, Tensor], wanted: Shapes, what: str, model: str) -> NamedWeights:
    """The weights of a model, whatever wrapped it when they were saved.

    The model's own names come first; then those below one prefix, where the whole model is, in its shapes, and nothing
    else. What wraps the model itself is looked through as well.

    Args:
        weights: Tensors by the names in the file.
        wanted: Shape of each weight of the model, by its name there.
        what: The file, for messages.
        model: What was built, for messages.

    Raises:
        DataError: Something is missing, of another shape, or not of the model; or several prefixes fit. The first thing
            is named, and the prefix that was left out.
    """
    there = {name: tuple(value.shape) for name, value in weights.items()}
    if _fits(there, wanted):
        return NamedWeights({name: weights[name] for name in wanted}, "")
    plain, own = _without(weights), _without(wanted)
    there, shapes = ({name: of[full] for name, full in names.items()} for of, names in ((there, plain), (wanted, own)))
    wrapper = next((w for w in WRAPPERS if all(name.startswith(w) for name in own)), "")
    for left_out in dict.fromkeys(("", wrapper)):
        bare = {name.removeprefix(left_out): shape for name, shape in shapes.items()}
        found = [prefix for prefix in _prefixes(there, bare) if _fits(_below(there, prefix), bare)]
        if len(found) > 1:
            several = " and ".join(repr(prefix) for prefix in sorted(found)[:NAMED])
            raise DataError(
                f"{what} holds {model} {len(found)} times, below {several}; save the one that is meant alone"
            )
        if found:
            taken = {own[left_out + name]: weights[plain[found[0] + name]] for name in bare}
            return NamedWeights(taken, _note(plain, found[0], len(taken)))
    problem = _what_is_wrong(there, plain, shapes)
    raise DataError(f"{what} does not fit {model}: {problem}; name what builds the target as audit.target.model")


def _without(names: Iterable[str]) -> dict[str, str]:
    """The full names by what is left of them without WITHIN; as they are where two would become the same."""
    full = list(names)
    plain = {_plain(name): name for name in full}
    return plain if len(plain) == len(full) else {name: name for name in full}


def _plain(name: str) -> str:
    for wrapper in WITHIN:
        name = name.replace(wrapper, "")
    return name


def _below(there: Shapes, prefix: str) -> Shapes:
    return {name.removeprefix(prefix): shape for name, shape in there.items() if name.startswith(prefix)}


def _fits(there: Shapes, wanted: Shapes) -> bool:
    return all(there.get(name) == shape for name, shape in wanted.items()) and all(
        name in wanted or name in BOOKKEEPING for name in there
    )


def _prefixes(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Prefixes below which names of the model are found, those with the most first; the shorter of two with as many."""
    known, count = set(wanted), Counter[str]()
    for name in names:
        count.update(name[:start] for start in _starts(name) if name[start:] in known)
    return sorted(count, key=lambda prefix: (-count[prefix], len(prefix)))


def _starts(name: str) -> list[int]:
    """Where a name's parts begin."""
    return [0, *(position + 1 for position, letter in enumerate(name) if letter == ".")]


def _note(plain: Mapping[str, str], prefix: str, taken: int) -> str:
    start = _in_full(plain, prefix)
    within = [repr(wrapper) for wrapper in WITHIN if any(wrapper in full for full in plain.values())]
    how = f"those of the names that begin with {start!r}" if start else "those of the model that is wrapped"
    if within and not start:
        how = f"found by their names without {', '.join(within)}"
    note = f"the {taken} weights are {how}"
    others = [full for name, full in plain.items() if not name.startswith(prefix)]
    if others:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        note += f"; left out: {', '.join(others[:NAMED])}{more}"
    return note


def _in_full(plain: Mapping[str, str], prefix: str) -> str:
    """A prefix as the file has it, with what wrappers within names added."""
    full = next((full for name, full in plain.items() if name.startswith(prefix)), "")
    return next((full[:start] for start in reversed(_starts(full)) if _plain(full[:start]) == prefix), prefix)


def _common_wrappers(names: Iterable[str]) -> str:
    """What all names begin with, as far as it is made of wrappers."""
    rest, start = os.path.commonprefix(list(names)), ""
    while wrapper := next((w for w in WRAPPERS if rest.startswith(w)), ""):
        rest, start = rest.removeprefix(wrapper), start + wrapper
    return start


def _what_is_wrong(there: Shapes, plain: Mapping[str, str], wanted: Shapes) -> str:
    prefix = next(iter(_prefixes(there, wanted)), _common_wrappers(there))
    below = _below(there, prefix)
    wrong = [f"{name} is missing" for name in wanted if name not in below]
    wrong += [f"{name} is not of it" for name in below if name not in wanted and name not in BOOKKEEPING]
    wrong += [
        f"{name} is {list(below[name])}, not {list(shape)}"
        for name, shape in wanted.items()
        if below.get(name, shape) != shape
    ]
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    start = _in_full(plain, prefix)
    return f"{wrong[0]}{more}{f', below the prefix {start!r}' if start else ''}"
