"""Cells that keep a column of numbers from being one: what they are, and what the schema would say of them.

One `-` among a million numbers makes a column of text, and a model of nonsense. So the cells of a text column are
looked at once more: where the others are known signs for "no value", or numbers that are written in another way, the
file is refused with the first such cell's line and the remedy; where at least half of the cells are numbers and the
others are words, the data set carries a warning.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.readers.first_bytes import matches
from app.errors import quote_name

_NUMBER = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$"
_BEGIN_NUMBER = b"\t\n\f\r +-.0123456789"
_CORE = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_GROUPS = re.compile(r"[+-]?\d{1,3}(?:([,.' _\u00a0\u202f\u2019])\d{3})(?:\1\d{3})*(?:([.,])\d+)?")
#: Of letters, a number has only the one before an exponent.
_LETTER = re.compile(r"[^\W\d_eE]")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_CURRENCY = "$€£¥₹₽₩"

#: Cells that people write for "no value", with what a message calls them.
_PLACEHOLDERS = {
    "-": "a dash",
    "--": "dashes",
    "---": "dashes",
    "–": "a dash",
    "—": "a dash",
    "?": "a question mark",
    "??": "question marks",
    ".": "a point",
    "..": "points",
    "*": "an asterisk",
    "#": "a hash sign",
    "/": "a slash",
    "_": "an underscore",
    **{word: f'"{word}"' for word in ("n/k", "N/K", "nk", "n.a.", "N.A.", "na", "n.d.", "nil", "none", "NONE", "Null")},
    **{word: f'"{word}"' for word in ("unknown", "Unknown", "UNKNOWN", "missing", "Missing", "MISSING", "undefined")},
    **{
        word: f'"{word}"' for word in ("#N/A", "#NA", "#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "#NAME?", "tbd")
    },
}

_MAX_WORDS = 3
_GIVE_UP_BELOW = 0.5
_SAMPLE = 1000


@dataclass(frozen=True)
class Stray:
    """A kind of cell that is no number.

    Attributes:
        what: for a message; never the cell's own text, unless that is one of a few known ones.
        remedy: keys of the column's schema that would take it.
        hidden: whether it is a number that is written in some other way.
    """

    what: str
    remedy: tuple[tuple[str, str], ...]
    hidden: bool


@dataclass(frozen=True)
class StrayCell:
    """What keeps a column from being one of numbers, truth values or lists.

    Attributes:
        row: the first such cell's.
        what: it is, for a message.
        remedy: for a message.
        refused: whether the file is refused for it; a warning otherwise.
    """

    row: int
    what: str
    remedy: str
    refused: bool


@dataclass
class StrayCells:
    """Counts of one column's cells, all of them, while the column may still be one of numbers.

    Attributes:
        numbers: cells that are plain numbers.
        kinds: stray kind → how many cells, row of the first.
        other: cells that no kind fits, and the row of the first.
        settled: plainly text; nothing more is counted.
    """

    numbers: int = 0
    kinds: dict[Stray, list[int]] = field(default_factory=dict)
    other: list[int] = field(default_factory=lambda: [0, 0])
    settled: bool = False
    _words: set[str] = field(default_factory=set)

    def add_numbers(self, cells: pa.Array) -> None:
        """Takes cells that were read as numbers."""
        self.numbers += len(cells) - cells.null_count

    def add(self, cells: pa.Array, rows_before: int) -> None:
        """Takes text cells; `rows_before` is how many rows came before them."""
        if self.settled:
            return
        first = self.numbers == 0 and not self.kinds and not self.other[0]
        self._count(cells.slice(0, _SAMPLE) if first else cells, rows_before)
        if self._share() < _GIVE_UP_BELOW:
            self.settled = True
        elif first:
            self._count(cells.slice(_SAMPLE), rows_before + _SAMPLE)

    def _count(self, cells: pa.Array, rows_before: int) -> None:
        numeric = pc.fill_null(
            matches(cells, _BEGIN_NUMBER, lambda some: pc.match_substring_regex(some, _NUMBER)), True
        )
        self.numbers += pc.sum(pc.and_(numeric, cells.is_valid())).as_py() or 0
        rows = pc.indices_nonzero(pc.invert(numeric))
        strays = cells.take(rows).dictionary_encode()
        codes = strays.indices.to_numpy()
        occurring = np.bincount(codes)
        firsts = np.zeros(len(occurring), np.int64)
        firsts[codes[::-1]] = rows.to_numpy()[::-1]  # the last that is put into a place stays there
        texts = strays.dictionary.slice(0, _SAMPLE).to_pylist()
        for text, count, first in zip(texts, occurring.tolist(), firsts.tolist(), strict=False):
            self._stray(text.strip(), count, rows_before + first)
        self.other[0] += int(occurring[_SAMPLE:].sum())

    def _stray(self, text: str, count: int, row: int) -> None:
        kind = classify(text)
        if kind is None and len(text) <= 20 and not any(character.isdigit() for character in text):
            self._words.add(text)
            if len(self._words) <= _MAX_WORDS:
                kind = Stray("a word", (("null_values", "the word"),), hidden=False)
        if kind is None:
            if not self.other[0]:
                self.other[1] = row
            self.other[0] += count
            return
        known = self.kinds.setdefault(kind, [0, row])
        known[0] += count

    def _share(self) -> float:
        total = self._total()
        hidden = sum(count for kind, (count, _) in self.kinds.items() if kind.hidden)
        return (self.numbers + hidden) / total if total else 1.0

    def _total(self) -> int:
        return self.numbers + self.other[0] + sum(count for count, _ in self.kinds.values())

    def problem(self, name: str) -> StrayCell | None:
        """The first stray cell of the column `name`; None for a column of text."""
        total = self._total()
        strays = total - self.numbers
        if self.settled or not strays or not self.numbers + strays:
            return None
        share, other = self._share(), self.other[0]
        if share < _GIVE_UP_BELOW or (not any(kind.hidden for kind in self.kinds) and not self.numbers):
            return None
        refused = not other and not any(kind.what == "a word" for kind in self.kinds)
        row, what = self._message(total, strays)
        return StrayCell(row, what, self._remedy(name), refused)

    def _message(self, total: int, strays: int) -> tuple[int, str]:
        places = [(row, kind) for kind, (_, row) in self.kinds.items()]
        row, first = min(places, key=lambda place: place[0]) if places else (self.other[1], None)
        if self.other[0] and (first is None or self.other[1] < row):
            row, first = self.other[1], None
        what = first.what if first is not None else "a text"
        among = (
            f" ({strays} of {total} cells are no plain numbers)" if total > strays else " (no cell is a plain number)"
        )
        return row, f"{what} in a column of numbers{among}"

    def _remedy(self, name: str) -> str:
        """The entry of the schema that would take the stray cells, as JSON."""
        entry: dict[str, object] = {}
        for kind in self.kinds:
            for key, value in kind.remedy:
                if key == "null_values":
                    nulls = entry.setdefault(key, [])
                    assert isinstance(nulls, list)
                    nulls.append(value)
                elif key == "strip":
                    entry[key] = "".join(dict.fromkeys(str(entry.get(key, "")) + value))
                else:
                    entry[key] = value
        if not entry:
            return "Correct the cell or leave it empty"
        column = quote_name(name)[1:-1]
        return f"Correct it, or say so in the schema: {json.dumps({'columns': {column: entry}}, ensure_ascii=False)}"


def is_placeholder(text: str) -> bool:
    """Whether a cell is one of the known signs for "no value"."""
    return text in _PLACEHOLDERS


def classify(text: str) -> Stray | None:
    """What a cell that is no number is; None for any other text."""
    if text in _PLACEHOLDERS:
        return Stray(_PLACEHOLDERS[text], (("null_values", text),), hidden=False)
    if _LETTER.search(text):
        return None
    core, what, remedy = text, [], []
    bare = core.strip(_CURRENCY + " \u00a0")
    bare = re.sub(rf"^([+-])[{re.escape(_CURRENCY)}\s]+", r"\1", bare)
    if bare != core:
        what.append("a currency sign")
        remedy.append(("strip", "".join(dict.fromkeys(c for c in core if c in _CURRENCY)) or "$"))
        core = bare
    if core.endswith("%"):
        what.append("a percent sign")
        remedy.append(("strip", "%"))
        core = core[:-1].rstrip()
    if match := _GROUPS.fullmatch(core):
        what.append("thousands separators")
        remedy.append(("thousands", match[1]))
        if match[2] == ",":
            remedy.append(("decimal", ","))
        if match[1] == match[2]:
            return None
        core = "0"
    elif _DECIMAL_COMMA.fullmatch(core):
        what.append("a decimal comma")
        remedy.append(("decimal", ","))
        core = "0"
    if not what or not _CORE.fullmatch(core):
        return None
    return Stray(f"a number with {' and '.join(what)}", tuple(remedy), hidden=True)
