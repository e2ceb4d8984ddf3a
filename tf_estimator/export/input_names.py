"""Names of a signature's inputs: those of the features, where TensorFlow can load a signature with them."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator
from itertools import count


def input_names(names: Iterable[str]) -> dict[str, str]:
    """Each name to that of its input: the name itself, or a safe one with `_input` behind it.

    `tf.saved_model.load` makes a parameter of each input and can't load an export with an input called `class`, or
    with both `a b` and `a_b`, which become one parameter. An input gets another name only then.
    """
    wanted = list(dict.fromkeys(names))
    made: dict[str, str] = {}
    parameters: set[str] = set()
    for name in wanted:
        parameter = _parameter(name)
        if _can_be_loaded(parameter) and parameter not in parameters:
            made[name] = name
            parameters.add(parameter)
    for name in wanted:
        if name not in made:
            made[name] = next(safe for safe in _safe(name) if safe not in parameters and safe not in wanted)
            parameters.add(made[name])
    return {name: made[name] for name in wanted}


def _parameter(name: str) -> str:
    """What TensorFlow 2.21 calls an input's parameter: letters and digits stay, the rest becomes `_`, and `arg_` stands
    before what does not begin with a letter."""
    changed = "".join(character if character.isalnum() else "_" for character in name)
    return changed if changed[:1].isalpha() else f"arg_{changed}"


def _can_be_loaded(parameter: str) -> bool:
    return parameter.isidentifier() and not keyword.iskeyword(parameter) and parameter != "self"


def _safe(name: str) -> Iterator[str]:
    letters = "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
    stem = letters if letters[:1].isalpha() else f"arg_{letters}"
    yield f"{stem}_input"
    for number in count(2):
        yield f"{stem}_input_{number}"
