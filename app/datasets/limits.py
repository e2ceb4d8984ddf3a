"""Limits on one data set."""

from __future__ import annotations

from dataclasses import dataclass

RATIO_FROM_BYTES = 64 * 2**20
"""What came out of a file is compared with its size from here on."""


@dataclass(frozen=True)
class Limits:
    """Bounds that ingestion enforces while it reads; over one of them it raises TooLarge.

    Attributes:
        max_bytes: bytes of the file, after decompression.
        max_inflated_ratio: decompressed bytes per compressed byte; looked at from `RATIO_FROM_BYTES` on, for a small
            file of equal rows shrinks as well as a bomb.
        max_decoded_ratio: the same for a Parquet file, whose encodings are made for repeated values.
        max_columns: columns of the data set.
        max_line_bytes: bytes of one line of text (CSV, JSONL) or of one record (TFRecord).
        max_rows: rows of the data set.
        max_sequence: elements of one list.
    """

    max_bytes: int = 8 * 2**30
    max_inflated_ratio: float = 200.0
    max_decoded_ratio: float = 1000.0
    max_columns: int = 10_000
    max_line_bytes: int = 4 * 2**20
    max_rows: int = 2_000_000_000
    max_sequence: int = 1_000_000
