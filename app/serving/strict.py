"""JSON, read strictly: no key twice, no NaN or Infinity, bounded depth, UTF-8 only. For what the typed decoder did not
take, either to explain it or because its form is a rarer one."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from app.errors import InvalidInput, quote_name


def parse(body: bytes) -> Any:
    """The value of a JSON text. Raises InvalidInput, which never repeats a value of the body."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"The body is not UTF-8 (byte {error.start}).") from None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"The body is not JSON (character {error.pos}): {error.msg}.") from None
    except RecursionError:
        raise InvalidInput("The body is nested too deep.") from None
    except ValueError:  # an integer of more digits than Python converts
        raise InvalidInput("The body has a number with too many digits.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"The key {quote_name(double)} stands twice in one object.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInput(f"{name} is not a JSON number. Leave an unknown value out, or send null.")
