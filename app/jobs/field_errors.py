"""Wrong fields of a request: collected, translated from pydantic's errors, raised together."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from app.errors import FieldError, InvalidInput, quote_name
from app.ids import NAME_PATTERN
from app.jobs.fields import ID_PATTERNS, NOT_TEXT
from app.jobs.json_schema import MOST_ERRORS, counted
from app.json_pointer import pointer

_PATTERNS = {
    NAME_PATTERN: "Must be 1 to 100 letters, digits, '_', '.' or '-', and start with a letter or digit.",
    ID_PATTERNS["job"]: "Must be a job's id (job_ and 26 characters). GET /v1/jobs lists them.",
    ID_PATTERNS["ckpt"]: "Must be a checkpoint's id (ckpt_ and 26 characters). GET /v1/jobs/ID/checkpoints lists them.",
}
_WHOLE, _NUMBER, _OBJECT = (
    "Must be a whole number of at most 64 bits.",
    "Must be a finite number.",
    "Must be an object.",
)
_TEXTS = {
    "int_type": _WHOLE,
    "int_parsing_size": _WHOLE,
    "float_type": _NUMBER,
    "finite_number": _NUMBER,
    "string_type": "Must be a string.",
    "string_unicode": NOT_TEXT,
    "bool_type": "Must be true or false.",
    "list_type": "Must be a list.",
    "tuple_type": "Must be a list.",
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "string_too_short": "Must not be empty.",
}
_LIMITS = {
    "greater_than_equal": ("Must be at least {}.", "ge"),
    "greater_than": ("Must be more than {}.", "gt"),
    "less_than_equal": ("Must be at most {}.", "le"),
    "less_than": ("Must be less than {}.", "lt"),
}


class FieldErrors(list[FieldError]):
    """The wrong fields that were found so far."""

    def add(self, pointer: str, detail: str) -> None:
        self.append(FieldError(pointer, detail))

    def raise_if_any(self) -> None:
        """Reports the collected errors as one exception.

        Raises:
            InvalidInput: there is at least one error; the first hundred are reported.
        """
        if self:
            least = "at least " if len(self) >= MOST_ERRORS else ""  # the checks stop then
            more = f" And {least}{len(self) - 1} more." if len(self) > 1 else ""
            raise InvalidInput(f"{self[0].pointer or 'The request'}: {self[0].detail}{more}", list(self[:MOST_ERRORS]))


def from_pydantic(error: ValidationError, model: type[BaseModel]) -> FieldErrors:
    """A failed validation of `model` as field errors, without the values that the caller sent."""
    found = FieldErrors()
    for item in error.errors(include_url=False):
        location = [part for part in item["loc"] if not str(part).startswith("\x00") and part != "[key]"]
        found.add(pointer(*(str(part)[:100] for part in location)), _detail(item, location, model))
    return found


def _detail(item: Mapping[str, Any], location: list[int | str], model: type[BaseModel]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind in _TEXTS:
        return _TEXTS[kind]
    if kind in _LIMITS:
        text, key = _LIMITS[kind]
        return text.format(f"{context[key]:.15g}" if isinstance(context[key], float) else context[key])
    if kind == "missing":
        return f"The field {location[-1]!r} is missing."
    if kind == "extra_forbidden":
        known = ", ".join(sorted(_model_at(model, location[:-1]).model_fields))
        return f"There is no field {quote_name(location[-1])}. Known here: {known}."
    if kind == "string_too_long":
        return f"Has {len(item['input'])} characters; at most {context['max_length']} are allowed."
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"Must match {context['pattern']}.")
    if kind in ("too_long", "too_short"):
        one, more = ("entry", "entries") if isinstance(item["input"], dict) else ("item", "items")
        if kind == "too_long":
            return f"Has {len(item['input'])} {more}; at most {context['max_length']} are allowed."
        return f"Needs at least {counted(context['min_length'], one, more)}."
    if kind == "literal_error":
        return f"Must be {context['expected'].replace(chr(39), '')}."
    return str(item["msg"])  # of our own validators


def _model_at(model: type[BaseModel], location: list[int | str]) -> type[BaseModel]:
    """The model of the object at a location."""
    for part in location:
        if part in model.model_fields:
            model = next(_models(model.model_fields[str(part)].annotation), model)
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models(inner)
