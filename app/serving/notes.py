"""Notes on the values of a request that are valid and yet not what the model learned from."""

from __future__ import annotations

from typing import Any

import msgspec

from app.errors import quote_name
from app.serving.export_description import InputFeature
from app.serving.feature_values import ABSENT

_INSTANCES = 20
_WARNINGS = 100


class Warned(msgspec.Struct, gc=False, omit_defaults=True):
    """One thing that was done with one feature.

    Attributes:
        kind: "missing": the value that training put in place of missing ones stands in; "unknown_category": a text
            that training did not see; "far_outside": a number that lies further outside of training's range than that
            is wide; "ignored": the model has no such feature.
        instances: indexes of the first `_INSTANCES` such instances.
        count: of all of them.
    """

    feature: str
    kind: str
    detail: str
    instances: list[int]
    count: int


class Notes:
    """Gathers warnings while a request is checked.

    Args:
        wanted: whether the request asks for them.
        ignore_unknown: whether values under names that the model does not have are left out.
    """

    def __init__(self, wanted: bool, ignore_unknown: bool) -> None:
        self.wanted = wanted
        self.ignore_unknown = ignore_unknown
        self._found: dict[tuple[str, str], Warned] = {}
        self._words: dict[str, frozenset[Any]] = {}

    @property
    def warnings(self) -> list[Warned] | None:
        """What to answer; None when the request asks for no warnings."""
        return list(self._found.values())[:_WARNINGS] if self.wanted else None

    def ignored(self, names: set[str], index: int) -> None:
        """Values of an instance that the model has no features for."""
        for name in sorted(names)[:_WARNINGS] if self.wanted else ():
            self._add(name, "ignored", f"The model has no feature {quote_name(name)}: the value was ignored.", index)

    def value(self, feature: InputFeature, given: Any, index: int) -> None:
        """A valid value of an instance, as it was given."""
        if not self.wanted:
            return
        if given is ABSENT or given is None:
            policy = feature.missing.policy if feature.missing is not None else "none"
            detail = f"Missing values are replaced as in training (policy {policy})."
            self._add(feature.name, "missing", detail, index)
        elif isinstance(given, str) and feature.vocabulary:
            words = self._words.get(feature.name)
            if words is None:
                words = self._words[feature.name] = frozenset(map(str, feature.vocabulary))
            if given not in words:
                detail = f"None of the {len(words)} texts that training saw."
                self._add(feature.name, "unknown_category", detail, index)
        elif isinstance(given, int | float) and feature.min is not None and feature.max is not None:
            width = feature.max - feature.min
            if not feature.min - width <= given <= feature.max + width:
                detail = f"Far outside of training's range, {feature.min:g} to {feature.max:g}."
                self._add(feature.name, "far_outside", detail, index)

    def _add(self, name: str, kind: str, detail: str, index: int) -> None:
        found = self._found.get((name, kind))
        if found is None:
            found = self._found[name, kind] = Warned(name, kind, detail, [], 0)
        found.count += 1
        if len(found.instances) < _INSTANCES:
            found.instances.append(index)


def with_warnings(body: bytes, warnings: list[Warned] | None) -> bytes:
    """An answer's JSON object with the warnings as its last key."""
    if warnings is None:
        return body
    return body.rstrip()[:-1] + b',"warnings":' + msgspec.json.encode(warnings) + b"}"


def with_ids(body: bytes, prediction_id: bytes, count: int) -> bytes:
    """An answer's JSON object with an identifier for each instance as its last key."""
    ids = [f"{prediction_id.decode()}.{index}" for index in range(count)]
    return body.rstrip()[:-1] + b',"ids":' + msgspec.json.encode(ids) + b"}"
