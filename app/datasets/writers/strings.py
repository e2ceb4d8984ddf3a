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
        self._offsets = self._file("offsets", np.int64)
        self._bytes = self._file("bytes", np.uint8)
        self._nulls = self._file("nulls", np.uint8)
        self._null_count = 0
        self._sample: list[bytes] = []

    def _file(self, part: str, dtype: Any) -> NpyFile:
        return NpyFile(self._stem.with_name(f"{self._stem.name}.{part}.npy"), dtype)

    @property
    def storage(self) -> str:
        return "plain" if self._codes is None else "dictionary"

    def write(self, array: pa.Array) -> np.ndarray[Any, Any]:
        """Appends a large_binary array of n rows; returns uint64 [n], their digests (any value where null)."""
        self._null_count += array.null_count
        encoded = array.dictionary_encode()
        lengths = np.diff(binary_parts(encoded.dictionary)[0])
        texts: list[bytes] = encoded.dictionary.to_numpy(zero_copy_only=False).tolist()
        self._sample += texts[: max(0, _SAMPLE - len(self._sample))]
        indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        if self._codes is not None:
            self._write_codes(texts, lengths, indices)
        else:
            self._write_plain(array)
        # One entry more, for index -1 of the nulls.
        digests: np.ndarray[Any, Any] = np.append(digest_strings(texts, lengths), np.uint64(0))[indices]
        return digests

    def _write_codes(self, texts: list[bytes], lengths: np.ndarray[Any, Any], indices: np.ndarray[Any, Any]) -> None:
        """Appends the texts `texts[indices]`; `lengths` are those of the texts, which differ."""
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
        if texts:
            self._counts[new_codes] += np.bincount(indices[indices >= 0], minlength=len(texts))
        self._code_file.append(np.append(new_codes, np.int32(-1))[indices])
        if len(codes) > known:
            cost = int(lengths[new].sum()) + len(new) * _BYTES_AN_ENTRY
            self._spent += cost
            self._budget.left -= cost
            if self._budget.left < 0 or len(codes) > self._budget.dictionary_entries:
                self._become_plain()

    def _become_plain(self) -> None:
        assert self._codes is not None
        dictionary = pa.array(list(self._codes), pa.large_binary())
        self._codes = None
        self._budget.left += self._spent
        for part in self._code_file.chunks(1 << 14):
            self._write_plain(dictionary.take(pa.array(part, mask=part < 0)))
        self._code_file.remove()

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
            offsets, data = binary_parts(pa.array(list(self._codes), pa.large_binary()))
            for part, values in (("dictionary.offsets", offsets), ("dictionary.bytes", data)):
                file = self._file(part, values.dtype)
                file.append(values)
                file.close()
        info = {"dtype": "string", "shape": [], "nulls": self._null_count, **string_info(counts, distinct)}
        if looks_like_dates([text.decode("utf-8", "replace") for text in self._sample]):
            info["looks_like"] = "date"
        return info


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
