"""What is run: the table's rows with systems, input and size, and the ratios wanted. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

OURS, PEER, KERAS, LIMIT = "ours", "estimator", "keras", "limit"


@dataclass(frozen=True)
class Row:
    """One workload of the table.

    Attributes:
        steps: of a training, for each system that needs more or fewer.
        inputs: system to kind of input: columns, rows or cached.
        unshuffled: whether all systems see the same batches, so that their losses at the end must agree.
        bars: (workload of tf.estimator, measure, ratio wanted); `steps_per_s` is better when more, `seconds` when less.
        limit: the share of the hand-written loop's speed that is wanted.
        unit: a part of the processor without which the bars against tf.estimator are not wanted, as in /proc/cpuinfo.
    """

    steps: int
    inputs: dict[str, str]
    unshuffled: bool = False
    bars: tuple[tuple[str, str, float], ...] = ()
    limit: float | None = None
    unit: str | None = None


def _all(kind: str, *, keras: bool = True) -> dict[str, str]:
    return {OURS: kind, PEER: kind, LIMIT: kind, **({KERAS: kind} if keras else {})}


SPEED = "steps_per_s"
ROWS = {
    "w1_columns": Row(
        6000,
        {OURS: "columns", LIMIT: "columns"},
        bars=(("w1_rows", SPEED, 9.0), ("w1_cached", SPEED, 3.0)),
        limit=0.9,
    ),
    "w1_rows": Row(3000, _all("rows"), unshuffled=True),
    "w1_cached": Row(3000, _all("cached"), unshuffled=True),
    "w1_jit": Row(30_000, {OURS: "columns", LIMIT: "columns"}, bars=(("w1_cached", SPEED, 4.5),), limit=0.9),
    "w1_hook": Row(3000, {OURS: "cached", PEER: "cached"}, unshuffled=True, bars=(("w1_hook", SPEED, 2.0),)),
    "w1_hook_later": Row(
        3000, {OURS: "cached", PEER: "cached"}, unshuffled=True, bars=(("w1_hook_later", SPEED, 2.3),)
    ),
    "w2": Row(300, _all("rows"), unshuffled=True, bars=(("w2", SPEED, 1.0),), limit=0.95),
    "w2_bf16": Row(300, {OURS: "rows", LIMIT: "rows"}, bars=(("w2", SPEED, 2.2),), limit=0.95, unit="amx_bf16"),
    "w3_lstm": Row(200, _all("rows"), bars=(("w3_lstm", SPEED, 5.0),), limit=0.9),
    "w3_lstm_grouped": Row(200, {OURS: "columns"}, bars=(("w3_lstm", SPEED, 7.0),)),
    "w3_gru": Row(1000, _all("rows"), bars=(("w3_gru", SPEED, 3.8),), limit=0.9),
    "w4_columns": Row(300, {OURS: "columns", PEER: "rows"}, bars=(("w4_columns", SPEED, 3.0),)),
    "w4_cached": Row(300, {OURS: "cached", PEER: "cached"}, unshuffled=True),
    # The peer reads rows, as evaluations do, and as it did where its bar was measured: one call starts the input
    # anew, so that a cache only pays for batches that are evaluated twice.
    "evaluate": Row(
        200, {OURS: "columns", PEER: "rows"}, bars=(("evaluate", SPEED, 8.0), ("evaluate", "seconds", 3.5))
    ),
    "predict_first": Row(200, {OURS: "columns", PEER: "once"}, bars=(("predict_first", "seconds", 4.0),)),
    "predict_later": Row(200, {OURS: "columns", PEER: "once"}, bars=(("predict_later", "seconds", 100.0),)),
    "start": Row(2, {OURS: "cached", PEER: "cached"}, bars=(("start", "seconds", 1.0),)),
}
