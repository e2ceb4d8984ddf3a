"""Limits on one data set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds that ingestion enforces while it reads; over one of them it raises TooLarge.

    Attributes:
        max_bytes: bytes of the file, after decompression.
        max_inflated_ratio: decompressed bytes per compressed byte; looked at when 64 MiB have come out, for a small
            file of equal rows shrinks as well as a bomb.
        max_columns: columns of the data set.
        max_line_bytes: bytes of one line of text (CSV, JSONL) or of one record (TFRecord).
        max_rows: rows of the data set.
        max_sequence: elements of one list.
    """

    max_bytes: int = 8 * 2**30
    max_inflated_ratio: float = 200.0
    max_columns: int = 10_000
    max_line_bytes: int = 4 * 2**20
    max_rows: int = 2_000_000_000
    max_sequence: int = 1_000_000
