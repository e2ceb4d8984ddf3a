"""Writes one column of strings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from app.datasets.npy import NpyFile
from app.datasets.row_hash import digest_checks, digest_strings
from app.datasets.text_words import crc32s, hashes, text_words
from app.datasets.timestamps import looks_like_dates
from app.datasets.writers.column_statistics import VOCABULARY_CAP, string_info
from app.datasets.writers.memory_budget import MemoryBudget

#: Different texts that say whether a column holds dates.
_SAMPLE = 200
_BYTES_AN_ENTRY = 150  # what a dictionary entry costs in memory beside its text
_PIECE = 1 << 14
_FEW = 64
"""Fewer texts are looked at one by one, without tables that other texts may not need."""


class StringWriter:
    """Dictionary-encoded: `<stem>.codes.npy` (int32, -1 is null) and the distinct strings, in the order in which
    they came first, in `<stem>.dictionary.offsets.npy` and `<stem>.dictionary.bytes.npy`.

    With more distinct strings than the budget allows: `<stem>.offsets.npy` (int64 [rows + 1]), `<stem>.bytes.npy`
    and, when any is null, `<stem>.nulls.npy`.

    A column of which each text so far seems to be another (names, ids) has its dictionary in these files alone, and
    nobody looks for equal ones before the end, or before the budget asks.
    """

    dtype = "string"

    def __init__(self, name: str, stem: Path, budget: MemoryBudget) -> None:
        self.name = name
        self._stem = stem
        self._budget = budget
        self._spent = 0
        self._codes: dict[bytes, int] | None = {}
        #: of all texts, when each seems to be another one; `_codes` is of no use then
        self._hashes: list[np.ndarray[Any, Any]] | None = None
        self._compared = 0  # so many of them are known to differ
        self._counts = np.zeros(16, np.int64)
        self._begin_dictionary()
        self._offsets = self._file("offsets", np.int64)
        self._bytes = self._file("bytes", np.uint8)
        self._nulls = self._file("nulls", np.uint8)
        self._null_count = 0
        self._sample: list[bytes] = []
        self._all_differ = False  # those of the last chunk that was looked at

    def _begin_dictionary(self) -> None:
        self._code_file = self._file("codes", np.int32)
        self._dictionary_offsets = self._file("dictionary.offsets", np.int64)
        self._dictionary_offsets.append(np.zeros(1, np.int64))
        self._dictionary_bytes = self._file("dictionary.bytes", np.uint8)

    def _remove_dictionary(self) -> None:
        for file in (self._code_file, self._dictionary_offsets, self._dictionary_bytes):
            file.remove()

    def _file(self, part: str, dtype: Any) -> NpyFile:
        return NpyFile(self._stem.with_name(f"{self._stem.name}.{part}.npy"), dtype)

    @property
    def storage(self) -> str:
        return "plain" if self._codes is None else "dictionary"

    def write(self, array: pa.Array) -> np.ndarray[Any, Any]:
        """Appends a large_binary array of n rows; returns uint64 [n], their digests (any value where null)."""
        self._null_count += array.null_count
        if self._codes is None and self._all_differ and len(self._sample) >= _SAMPLE:
            self._write_plain(array)
            return _digests(array.fill_null(b"") if array.null_count else array)
        if self._hashes is not None and (digests := self._write_new(array)) is not None:
            return digests
        encoded = array.dictionary_encode()
        dictionary = encoded.dictionary
        self._sample += dictionary[: max(0, _SAMPLE - len(self._sample))].to_pylist()
        indices = None
        if len(dictionary) < len(array):  # else each row has a text of its own, in their order
            indices = (encoded.indices.fill_null(-1) if array.null_count else encoded.indices).to_numpy(False)
        self._all_differ = indices is None
        if indices is None and not self._code_file.rows and self._codes is not None and len(self._sample) >= _SAMPLE:
            self._hashes = []
            self._budget.estimates[self] = self._correct
            if (digests := self._write_new(array)) is not None:
                return digests
        if self._codes is not None:
            self._write_codes(dictionary, indices)
        else:
            self._write_plain(array)
        digests = _digests(dictionary)
        return digests if indices is None else _taken(digests, indices, 0)

    def _write_new(self, array: pa.Array) -> np.ndarray[Any, Any] | None:
        """Appends texts that seem to be new ones. Returns as `write`; None when they have to go the other way."""
        assert self._hashes is not None
        offsets, data = binary_parts(array)
        lengths = np.diff(offsets)
        words = None if array.null_count else text_words(offsets, data)
        if words is None:
            self._make_codes()
            return None
        self._hashes.append(hashes(words, lengths))
        first = self._code_file.rows
        self._code_file.append(np.arange(first, first + len(array), dtype=np.int32))
        self._spend(self._append_to_dictionary(array) + len(array) * _BYTES_AN_ENTRY)
        if self._code_file.rows > self._budget.dictionary_entries:
            self._correct()
        if self._budget.over or self._distinct > self._budget.dictionary_entries:
            self._become_plain()
        return digest_checks(crc32s(words, lengths), lengths)

    @property
    def _distinct(self) -> int:
        """So many texts has the dictionary."""
        return self._dictionary_offsets.rows - 1

    def _correct(self) -> None:
        """Looks for equal texts in a column in which each seems to be another."""
        if self._hashes is None or self._compared == self._code_file.rows:
            return
        found = np.concatenate(self._hashes)
        found.sort()
        if (found[1:] == found[:-1]).any():
            self._make_codes()
        self._compared = self._code_file.rows

    def _make_codes(self) -> None:
        """The dictionary in memory, as of any other column."""
        texts = self._written_texts()
        encoded = texts.dictionary_encode()
        different: list[bytes] = encoded.dictionary.to_numpy(zero_copy_only=False).tolist()
        indices = encoded.indices.to_numpy()
        self._hashes = None
        del self._budget.estimates[self]
        self._codes = dict(zip(different, range(len(different)), strict=True))
        self._counts = np.bincount(indices)
        if len(different) < len(texts):
            self._remove_dictionary()
            self._begin_dictionary()
            self._code_file.append(indices)
            size = self._append_to_dictionary(encoded.dictionary)
            self._spend(size + len(different) * _BYTES_AN_ENTRY - self._spent)

    def _written_texts(self) -> pa.Array:
        """Those of the dictionary's files."""
        offsets, data = (
            pa.py_buffer(np.concatenate([np.zeros(0, file.dtype), *file.chunks()]))
            for file in (self._dictionary_offsets, self._dictionary_bytes)
        )
        return pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), self._dictionary_offsets.rows - 1, [None, offsets, data]
        )

    def _write_codes(self, dictionary: pa.Array, indices: np.ndarray[Any, Any] | None) -> None:
        """Appends the texts `dictionary[indices]` (-1 is null; None: all of them in their order), which differ."""
        assert self._codes is not None
        codes = self._codes
        known = len(codes)
        texts: list[bytes] = dictionary.to_numpy(zero_copy_only=False).tolist()
        # No loop in Python over the texts: a column of names has as many as rows.
        numbers = range(known, known + len(texts))
        new_codes = np.fromiter(map(codes.setdefault, texts, numbers), np.int32, len(texts))
        new = np.flatnonzero(new_codes >= known)
        if 0 < len(new) < len(texts):  # then without gaps
            codes.update(zip([texts[index] for index in new.tolist()], numbers, strict=False))
            new_codes[new] = numbers[: len(new)]
        if len(codes) > len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros(len(codes), np.int64)])
        if indices is None:
            self._counts[new_codes] += 1
        elif texts:
            self._counts[new_codes] += np.bincount(indices + 1, minlength=len(texts) + 1)[1:]
        self._code_file.append(new_codes if indices is None else _taken(new_codes, indices, -1))
        if len(codes) > known:
            size = self._append_to_dictionary(dictionary if len(new) == len(texts) else dictionary.take(pa.array(new)))
            self._spend(size + len(new) * _BYTES_AN_ENTRY)
            if self._budget.over or len(codes) > self._budget.dictionary_entries:
                self._become_plain()

    def _spend(self, cost: int) -> None:
        self._spent += cost
        self._budget.left -= cost

    def _append_to_dictionary(self, texts: pa.Array) -> int:
        """Returns the bytes of the texts."""
        offsets, data = binary_parts(texts)
        self._dictionary_offsets.append(offsets[1:] + self._dictionary_bytes.rows)
        self._dictionary_bytes.append(data)
        return len(data)

    def _become_plain(self) -> None:
        texts = self._written_texts()
        self._codes = None
        if self._hashes is not None:
            self._hashes = None
            del self._budget.estimates[self]
        self._budget.left += self._spent
        for part in self._code_file.chunks(_PIECE):
            self._write_plain(texts.take(pa.array(part, mask=part < 0)))
        self._remove_dictionary()

    def _write_plain(self, array: pa.Array) -> None:
        if array.null_count:
            array_nulls = array.is_null().to_numpy(zero_copy_only=False)
            self._nulls.append_zeros(max(0, self._offsets.rows - 1) - self._nulls.rows)
            self._nulls.append(array_nulls)
            array = array.fill_null(b"")
        offsets, data = binary_parts(array)
        if not self._offsets.rows:
            self._offsets.append(np.zeros(1, np.int64))
        self._offsets.append(offsets[1:] + self._bytes.rows)
        self._bytes.append(data)

    def write_nulls(self, count: int) -> None:
        for start in range(0, count, 1 << 16):
            self.write(pa.nulls(min(1 << 16, count - start), pa.large_binary()))

    def close(self) -> dict[str, Any]:
        """Completes the files; returns the column's information."""
        self._correct()
        if self._hashes is not None and self._code_file.rows <= VOCABULARY_CAP:
            self._make_codes()
        counts = distinct = None
        if self._codes is None:
            if self._nulls.rows:
                self._nulls.append_zeros(self._offsets.rows - 1 - self._nulls.rows)
                self._nulls.close()
            self._offsets.close()
            self._bytes.close()
        else:
            distinct = self._distinct
            if distinct <= VOCABULARY_CAP:
                counts = dict(zip(self._codes, self._counts.tolist(), strict=False))
            self._code_file.close()
            self._dictionary_offsets.close()
            self._dictionary_bytes.close()
        info = {"dtype": "string", "shape": [], "nulls": self._null_count, **string_info(counts, distinct)}
        if looks_like_dates([text.decode("utf-8", "replace") for text in self._sample]):
            info["looks_like"] = "date"
        return info


def _taken(values: np.ndarray[Any, Any], indices: np.ndarray[Any, Any], null: int) -> np.ndarray[Any, Any]:
    """`values[indices]`, and `null` where the index is -1, which is the last."""
    return np.append(values, values.dtype.type(null)).take(indices)


def _digests(texts: pa.Array) -> np.ndarray[Any, Any]:
    """uint64 [n], of texts none of which is null."""
    offsets, data = binary_parts(texts)
    lengths = np.diff(offsets)
    words = text_words(offsets, data) if len(texts) > _FEW else None
    if words is not None:
        return digest_checks(crc32s(words, lengths), lengths)
    return digest_strings(texts.to_numpy(zero_copy_only=False).tolist(), lengths)


def binary_parts(array: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """int64 offsets [n + 1] from 0 and uint8 bytes of a large_binary array without nulls."""
    _, offset_buffer, data_buffer = array.buffers()
    if not len(array) or offset_buffer is None:
        return np.zeros(len(array) + 1, np.int64), np.zeros(0, np.uint8)
    offsets = np.frombuffer(offset_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    if data_buffer is None:
        return offsets - offsets[0], np.zeros(0, np.uint8)
    data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    return offsets - offsets[0], data
