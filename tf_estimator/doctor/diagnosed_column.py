"""Feature columns as the doctor writes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

#: Operations that pool the embeddings of a row, and the combiner that each is.
COMBINERS = {"SparseSegmentSum": "sum", "SparseSegmentMean": "mean", "SparseSegmentSqrtN": "sqrtn"}


@dataclass(frozen=True)
class Column:
    """A feature column, or those that share a variable.

    Attributes:
        code: Python that makes it, as an item of a list.
        width: how many inputs of the first layer it gives, 0 in a linear model.
        note: what is a guess in it, "" if nothing is.
        before: Python lines that `code` needs before it, "" if none.
    """

    code: str
    width: int = 0
    note: str = ""
    before: str = ""


def combiner_argument(nodes: Iterable[Any]) -> str:
    """The argument `combiner` of an embedding with these nodes, "" for the default."""
    pooling = next((node.op for node in nodes if node.op in COMBINERS), "SparseSegmentMean")
    return "" if pooling == "SparseSegmentMean" else f', combiner="{COMBINERS[pooling]}"'
