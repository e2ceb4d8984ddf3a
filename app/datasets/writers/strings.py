"""Writes one column of strings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from app.datasets.npy import NpyFile
from app.datasets.row_hash import digest_strings
from app.datasets.timestamps import looks_like_dates
from app.datasets.writers.column_statistics import VOCABULARY_CAP, string_info
from app.datasets.writers.memory_budget import MemoryBudget

#: Different texts that say whether a column holds dates.
_SAMPLE = 200
_BYTES_AN_ENTRY = 150  # what a dictionary entry costs in memory beside its text


class StringWriter:
    """Dictionary-encoded: `<stem>.codes.npy` (int32, -1 is null) and the distinct strings, in the order in which
    they came first, in `<stem>.dictionary.offsets.npy` and `<stem>.dictionary.bytes.npy`.

    With more distinct strings than the budget allows: `<stem>.offsets.npy` (int64 [rows + 1]), `<stem>.bytes.npy`
    and, when any is null, `<stem>.nulls.npy`.
    """

    dtype = "string"

    def __init__(self, name: str, stem: Path, budget: MemoryBudget) -> None:
        self.name = name
        self._stem = stem
        self._budget = budget
        self._spent = 0
        self._codes: dict[bytes, int] | None = {}
        self._counts = np.zeros(16, np.int64)
        self._code_file = self._file("codes", np.int32)
        self._dictionary_offsets = self._file("dictionary.offsets", np.int64)
        self._dictionary_offsets.append(np.zeros(1, np.int64))
        self._dictionary_bytes = self._file("dictionary.bytes", np.uint8)
        self._offsets = self._file("offsets", np.int64)
        self._bytes = self._file("bytes", np.uint8)
        self._nulls = self._file("nulls", np.uint8)
        self._null_count = 0
        self._sample: list[bytes] = []
        self._all_differ = False  # those of the last chunk that was looked at

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
            cells = array.fill_null(b"") if array.null_count else array
            return digest_strings(cells.to_numpy(zero_copy_only=False).tolist(), np.diff(binary_parts(cells)[0]))
        encoded = array.dictionary_encode()
        dictionary = encoded.dictionary
        lengths = np.diff(binary_parts(dictionary)[0])
        texts: list[bytes] = dictionary.to_numpy(zero_copy_only=False).tolist()
        self._sample += texts[: max(0, _SAMPLE - len(self._sample))]
        indices = None
        if len(texts) < len(array):  # else each row has a text of its own, in their order
            indices = (encoded.indices.fill_null(-1) if array.null_count else encoded.indices).to_numpy(False)
        self._all_differ = indices is None
        if self._codes is not None:
            self._write_codes(dictionary, texts, lengths, indices)
        else:
            self._write_plain(array)
        digests = digest_strings(texts, lengths)
        return digests if indices is None else _taken(digests, indices, 0)

    def _write_codes(
        self,
        dictionary: pa.Array,
        texts: list[bytes],
        lengths: np.ndarray[Any, Any],
        indices: np.ndarray[Any, Any] | None,
    ) -> None:
        """Appends the texts `texts[indices]` (-1 is null; None: all of them in their order), which differ and are those
        of `dictionary`; `lengths` are theirs."""
        assert self._codes is not None
        codes = self._codes
        known = len(codes)
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
            self._append_to_dictionary(dictionary if len(new) == len(texts) else dictionary.take(pa.array(new)))
            cost = int(lengths[new].sum()) + len(new) * _BYTES_AN_ENTRY
            self._spent += cost
            self._budget.left -= cost
            if self._budget.left < 0 or len(codes) > self._budget.dictionary_entries:
                self._become_plain()

    def _append_to_dictionary(self, texts: pa.Array) -> None:
        offsets, data = binary_parts(texts)
        self._dictionary_offsets.append(offsets[1:] + self._dictionary_bytes.rows)
        self._dictionary_bytes.append(data)

    def _become_plain(self) -> None:
        assert self._codes is not None
        dictionary = pa.array(list(self._codes), pa.large_binary())
        self._codes = None
        self._budget.left += self._spent
        for part in self._code_file.chunks(1 << 14):
            self._write_plain(dictionary.take(pa.array(part, mask=part < 0)))
        for file in (self._code_file, self._dictionary_offsets, self._dictionary_bytes):
            file.remove()

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
        counts = distinct = None
        if self._codes is None:
            if self._nulls.rows:
                self._nulls.append_zeros(self._offsets.rows - 1 - self._nulls.rows)
                self._nulls.close()
            self._offsets.close()
            self._bytes.close()
        else:
            self._code_file.close()
            distinct = len(self._codes)
            if distinct <= VOCABULARY_CAP:
                counts = dict(zip(self._codes, self._counts.tolist(), strict=False))
            self._dictionary_offsets.close()
            self._dictionary_bytes.close()
        info = {"dtype": "string", "shape": [], "nulls": self._null_count, **string_info(counts, distinct)}
        if looks_like_dates([text.decode("utf-8", "replace") for text in self._sample]):
            info["looks_like"] = "date"
        return info


def _taken(values: np.ndarray[Any, Any], indices: np.ndarray[Any, Any], null: int) -> np.ndarray[Any, Any]:
    """`values[indices]`, and `null` where the index is -1, which is the last."""
    return np.append(values, values.dtype.type(null)).take(indices)


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
