"""Decodes many serialized tf.train.Examples side by side with numpy.

All records are walked in step: the first entry of each, then the second, and so on, a few array operations for each.
Only the usual encoding is taken (one Features message that fills the Example, each key once and before its value, each
list in one piece); anything else is left to `tf_example.py`, which reads every encoding and words what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.datasets.readers.tf_example import KINDS
from app.datasets.readers.unaligned import numbers_at

_Ints = np.ndarray[tuple[int], np.dtype[np.int64]]
_Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
_MOST_ENTRIES = 4096
_MOST_NAMES = 4096
_MOST_STRINGS = 4096
_LONGEST_VARINT = 10


class Unusual(Exception):
    """An encoding that is not the usual one, or a fault."""


@dataclass(frozen=True)
class Lists:
    """The values that one feature has in some records.

    Attributes:
        kind: bytes, float or int64; None where no record has a value.
        counts: int64 [records], values in each record; 0 also where the feature is absent.
        present: bool [records], whether the record has the feature with a kind.
        values: float32 or int64 [sum of counts]; for bytes int64 [sum, 2], start and end of each in the data.
    """

    kind: str | None
    counts: _Ints
    present: np.ndarray[Any, np.dtype[np.bool_]]
    values: np.ndarray[Any, Any]


def decode(data: bytes, starts: _Ints, ends: _Ints) -> dict[str, Lists]:
    """Name → values of every feature of the records that lie in `data`. Raises Unusual."""
    buffer = np.frombuffer(data + bytes(_LONGEST_VARINT), np.uint8)
    entries: dict[bytes, list[tuple[_Ints, _Ints, _Ints]]] = {}
    for records, keys, lengths, first, last in _entries(buffer, starts, ends):
        for name, chosen in _names(buffer, data, keys, lengths):
            entries.setdefault(name, []).append((records[chosen], first[chosen], last[chosen]))
            if len(entries) > _MOST_NAMES:
                raise Unusual
    try:
        return {name.decode("utf-8"): _lists(buffer, len(starts), parts) for name, parts in entries.items()}
    except UnicodeDecodeError:
        raise Unusual from None


def _entries(buffer: _Bytes, starts: _Ints, ends: _Ints) -> Iterator[tuple[_Ints, _Ints, _Ints, _Ints, _Ints]]:
    """Record, start and length of the key, start and end of the Feature, of the n-th entry of every record."""
    records = np.flatnonzero(ends > starts)
    position, end = starts[records], ends[records]
    position, stop = _message(buffer, position, end, 0x0A)
    _check(stop == end)
    for _ in range(_MOST_ENTRIES):
        more = position < end
        if not more.all():
            records, position, end = records[more], position[more], end[more]
        if not len(records):
            return
        inside, stop = _message(buffer, position, end, 0x0A)
        key, behind = _message(buffer, inside, stop, 0x0A)
        first, last = _message(buffer, behind, stop, 0x12)
        _check(last == stop)
        yield records, key, behind - key, first, last
        position = stop
    raise Unusual


def _names(buffer: _Bytes, data: bytes, keys: _Ints, lengths: _Ints) -> Iterator[tuple[bytes, Any]]:
    """Each different key, and which of the entries have it."""
    waiting: Any = slice(None)
    while True:
        at, length = keys[waiting], lengths[waiting]
        begin, size = int(at[0]), int(length[0])
        name = data[begin : begin + size]
        same = _same_names(buffer, name, at, length)
        if same.all():
            yield name, waiting
            return
        indices = np.arange(len(keys)) if isinstance(waiting, slice) else waiting
        yield name, indices[same]
        waiting = indices[~same]


def _same_names(buffer: _Bytes, name: bytes, at: _Ints, lengths: _Ints) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which keys are `name`."""
    same: np.ndarray[Any, np.dtype[np.bool_]] = lengths == len(name)
    rows = slice(None) if same.all() else np.flatnonzero(same)
    at = at[rows]
    for place in range(0, len(name), 8):
        word = name[place : place + 8]
        mask = np.uint64(256 ** len(word) - 1)
        found = numbers_at(buffer, at + place, "<u8") & mask
        same[rows] &= found == np.uint64(int.from_bytes(word, "little"))
    return same


def _lists(buffer: _Bytes, records: int, parts: list[tuple[_Ints, _Ints, _Ints]]) -> Lists:
    """The values of one feature, from where its Feature messages lie."""
    record, first, last = parts[0]
    if len(parts) > 1:
        record, first, last = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(record, kind="stable")
        record, first, last = record[order], first[order], last[order]
        _check(record[1:] != record[:-1])
    present = np.zeros(records, np.bool_)
    filled = last > first
    present[record[filled]] = True
    if not filled.all():
        record, first, last = record[filled], first[filled], last[filled]
    counts = np.zeros(records, np.int64)
    if not len(record):
        return Lists(None, counts, present, np.zeros(0, np.int64))
    tags = buffer[first]
    begin, stop = _message(buffer, first, last, None)
    _check(stop == last)
    full = stop > begin
    _check(_IS_KIND[tags])
    if not full.any():
        return Lists(None, counts, present, np.zeros(0, np.int64))
    if not full.all():
        tags, record, begin, stop = tags[full], record[full], begin[full], stop[full]
    _check(tags == tags[0])
    kind = KINDS[int(tags[0]) >> 3]
    values, many = _DECODERS[kind](buffer, begin, stop)
    counts[record] = many
    return Lists(kind if many.any() else None, counts, present, values)


def _floats(buffer: _Bytes, begin: _Ints, stop: _Ints) -> tuple[np.ndarray[Any, Any], _Ints]:
    """Packed, or one value by itself."""
    alone = (buffer[begin] == 0x0D) & (stop - begin == 5)
    position, end = _message(buffer, begin, stop, 0x0A, skip=alone)
    position, end = np.where(alone, begin + 1, position), np.where(alone, stop, end)
    _check(end == stop)
    sizes = end - position
    _check(sizes & 3 == 0)
    counts = sizes >> 2
    if not (counts == 1).all():
        before = np.cumsum(counts) - counts
        position = np.repeat(position - 4 * before, counts) + 4 * np.arange(int(counts.sum()))
    return numbers_at(buffer, position, "<f4"), counts


def _integers(buffer: _Bytes, begin: _Ints, stop: _Ints) -> tuple[np.ndarray[Any, Any], _Ints]:
    """Packed, or one value by itself."""
    alone = buffer[begin] == 0x08
    position, end = _message(buffer, begin, stop, 0x0A, skip=alone)
    position, end = np.where(alone, begin + 1, position), np.where(alone, stop, end)
    _check(end == stop)
    sizes = end - position
    flat = buffer[ranges(position, sizes)]
    closing = flat < 128
    some = sizes > 0
    edges = np.cumsum(sizes)
    _check(closing[edges[some] - 1])
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(closing)])
    counts = sums[edges] - sums[edges - sizes]
    _check(~alone | (counts == 1))
    heads = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(closing)[:-1] + 1]) if len(flat) else edges[:0]
    lengths = np.diff(np.append(heads, len(flat)))
    if not len(flat):
        return np.zeros(0, np.int64), counts
    if lengths.max() == 1:
        return flat.astype(np.int64), counts
    _check(lengths <= _LONGEST_VARINT)
    shifts = (np.arange(len(flat)) - np.repeat(heads, lengths)).astype(np.uint64) * np.uint64(7)
    digits = (flat & 127).astype(np.uint64) << shifts
    return np.add.reduceat(digits, heads).view(np.int64), counts


def _strings(buffer: _Bytes, begin: _Ints, stop: _Ints) -> tuple[np.ndarray[Any, Any], _Ints]:
    """One after the other; start and end of each."""
    which = np.arange(len(begin))
    found: list[tuple[_Ints, _Ints, _Ints]] = []
    position, end = begin, stop
    for _ in range(_MOST_STRINGS):
        first, last = _message(buffer, position, end, 0x0A)
        found.append((which, first, last))
        more = last < end
        which, position, end = which[more], last[more], end[more]
        if not len(which):
            owner = np.concatenate([one for one, _, _ in found])
            order = np.argsort(owner, kind="stable")
            spans = np.stack([np.concatenate([part[index] for part in found])[order] for index in (1, 2)], axis=1)
            return spans, np.bincount(owner, minlength=len(begin)).astype(np.int64)
    raise Unusual


_IS_KIND = np.zeros(256, np.bool_)
_IS_KIND[[0x0A, 0x12, 0x1A]] = True
_DECODERS: dict[str, Any] = {"float": _floats, "int64": _integers, "bytes": _strings}


def _message(
    buffer: _Bytes, position: _Ints, end: _Ints, tag: int | None, *, skip: Any = np.False_
) -> tuple[_Ints, _Ints]:
    """Start and end of the content of the length-delimited field at each position.

    Args:
        tag: its first byte; None: any.
        skip: bool [n], where there is no such field.

    Raises:
        Unusual: another tag, a length of more than four bytes, or one that reaches beyond `end`.
    """
    if tag is not None:
        _check((buffer[position] == tag) | skip)
    length = buffer[position + 1].astype(np.int64)
    behind = position + 2
    if (length > 127).any():
        length, used = _varints(buffer, position + 1, skip)
        behind = position + 1 + used
    stop = behind + length
    _check((stop <= end) | skip)
    return behind, stop


def _varints(buffer: _Bytes, position: _Ints, skip: Any) -> tuple[_Ints, _Ints]:
    """Numbers of at most four bytes, and how many bytes each takes."""
    digits = numbers_at(buffer, position, "<u4").astype(np.int64)
    ends = ~digits & 0x80808080  # in a varint's last byte the highest bit is not set
    _check((ends != 0) | skip)
    last = ends & -ends
    digits &= last - 1
    values = digits & 127
    for place in (1, 2, 3):
        values |= (digits >> place) & (127 << 7 * place)
    used = 1 + (last > 1 << 7) + (last > 1 << 15).astype(np.int64) + (last > 1 << 23)
    return values, used


def ranges(starts: _Ints, sizes: _Ints) -> _Ints:
    """All indices of the ranges, one range after the other."""
    before = np.cumsum(sizes) - sizes
    found: _Ints = np.arange(int(sizes.sum())) + np.repeat(starts - before, sizes)
    return found


def _check(good: Any) -> None:
    if not good.all():
        raise Unusual
