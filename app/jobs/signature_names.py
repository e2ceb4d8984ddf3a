"""Names of features as inputs of an exported signature."""

from __future__ import annotations

import keyword
from collections.abc import Iterable

from app.errors import quote_name
from app.jobs.spec import Feature


def input_name(name: str) -> str:
    """The parameter that TensorFlow 2.21 makes of a signature's input when it loads an export: letters and digits
    stay, everything else becomes `_`, and `arg_` stands before what does not begin with a letter."""
    changed = "".join(character if character.isalnum() else "_" for character in name)
    return changed if changed[:1].isalpha() else f"arg_{changed}"


def clash(features: Iterable[Feature]) -> str | None:
    """What is wrong when two inputs of the export would have one name, or one a name that no parameter can have; None
    when nothing is. Sequences have a second input, their lengths, called `<name>_length`."""
    seen: dict[str, str] = {}
    for feature in features:
        for name in (feature.name, f"{feature.name}_length") if feature.sequence else (feature.name,):
            made = input_name(name)
            if keyword.iskeyword(made) or made == "self":
                return (
                    f"The column {quote_name(feature.name)} would be an input of the exported model that TensorFlow "
                    'can\'t load: a word of Python. Rename it in the file, or leave it out with "ignore".'
                )
            if made in seen:
                both = f"{quote_name(seen[made])} and {quote_name(feature.name)}"
                return (
                    f"The columns {both} would be one input of the exported model, {quote_name(made)}: TensorFlow "
                    'keeps letters and digits only. Rename one of them in the file, or leave one out with "ignore".'
                )
            seen[made] = feature.name
    return None
