"""Medians, the table of ratios, the bars, and whether the systems did the same work. Standard library only."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from plan import LIMIT, OURS, PEER, ROWS, SPEED

AGREE = 1e-3
MEMORY = 1.2
"""How many times the peer's memory ours may be at most, both without that of the bare imports."""
Results = list[dict[str, Any]]


def seen(results: Results, workload: str, system: str, field: str) -> list[float]:
    """The values, one for each round."""
    return [float(r[field]) for r in results if (r["workload"], r["system"]) == (workload, system)]


def median(results: Results, workload: str, system: str, field: str) -> float | None:
    values = seen(results, workload, system, field)
    return statistics.median(values) if values else None


def ratio(results: Results, workload: str, peer_workload: str, field: str, system: str = PEER) -> float | None:
    """How many times better ours is on `workload` than `system` on `peer_workload`."""
    ours, theirs = median(results, workload, OURS, field), median(results, peer_workload, system, field)
    if ours is None or theirs is None:
        return None
    return ours / theirs if field.startswith("steps") else theirs / ours


def round_by_round(results: Results, workload: str, peer_workload: str, field: str, system: str) -> float:
    """The median of the rounds' own ratios: a slow minute of the machine hits both sides of one of them."""
    pairs = zip(seen(results, workload, OURS, field), seen(results, peer_workload, system, field), strict=True)
    return statistics.median(a / b if field.startswith("steps") else b / a for a, b in pairs)


def table(results: Results, workloads: Iterable[str]) -> str:
    """The medians, a line per workload and system."""
    lines = [
        "| workload | system | steps/s | per processor second | seconds | loss at the end | peak MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for workload in workloads:
        for system in ROWS[workload].inputs:
            fields = ("steps_per_s", "steps_per_cpu_s", "seconds", "loss_end", "peak_rss_mb")
            values = [median(results, workload, system, field) for field in fields]
            if values[0] is None:
                lines.append(f"| {workload} | {system} | absent | | | | |")
                continue
            speed, cpu, seconds, loss, memory = values
            lines.append(
                f"| {workload} | {system} | {speed:,.1f} | {cpu:,.1f} | {seconds:,.4f} | {loss:.5f} | {memory:,.0f} |"
            )
    return "\n".join(lines)


def bars(results: Results, workloads: Iterable[str]) -> str:
    """The ratios that are wanted and those that were seen."""
    lines = ["| ours | against | ratio | round by round | wanted | |", "|---|---|---|---|---|---|"]
    for workload in workloads:
        row = ROWS[workload]
        wanted = [(PEER, other, field, bar) for other, field, bar in row.bars]
        wanted += [] if row.limit is None else [(LIMIT, workload, SPEED, row.limit)]
        for system, other, field, bar in wanted:
            found = ratio(results, workload, other, field, system)
            if found is None:
                continue
            rounds = round_by_round(results, workload, other, field, system)
            reached = "reached" if found >= bar else "**missed**"
            verdict = _missing(row.unit) or reached if system == PEER else reached
            unit = field.replace("_per_s", "/s")
            lines.append(
                f"| {workload} | {system}, {other}, {unit} | {found:.2f} | {rounds:.2f} | {bar:g} | {verdict} |"
            )
    return "\n".join(lines)


def memory(results: Results, workloads: Iterable[str]) -> str:
    """The peak memory beside that of the imports, ours and tf.estimator's."""
    lines = [
        "| ours | against | MB above the imports | the peer's | ratio | at most | |",
        "|---|---|---|---|---|---|---|",
    ]
    for workload in workloads:
        own = _above(results, workload, OURS)
        for other in dict.fromkeys([workload, *(other for other, _, _ in ROWS[workload].bars)]):
            theirs = _above(results, other, PEER)
            if own is None or not theirs:
                continue
            verdict = "reached" if own / theirs <= MEMORY else "**missed**"
            sizes = f"{own:,.0f} | {theirs:,.0f} | {own / theirs:.2f} | {MEMORY}"
            lines.append(f"| {workload} | {PEER}, {other} | {sizes} | {verdict} |")
    return "\n".join(lines)


def _above(results: Results, workload: str, system: str) -> float | None:
    peak, imported = (median(results, workload, system, field) for field in ("peak_rss_mb", "import_mb"))
    return None if peak is None or imported is None else peak - imported


def _missing(unit: str | None) -> str | None:
    """`no AMX here` where the processor lacks `unit` (or the system does not tell), else None."""
    if unit is None:
        return None
    cpuinfo = Path("/proc/cpuinfo")
    words = cpuinfo.read_text().split() if cpuinfo.exists() else []
    return None if unit in words else f"no {unit.partition('_')[0].upper()} here"


def disagreements(results: Results) -> list[str]:
    """Unshuffled workloads whose losses at the end differ between systems."""
    wrong = []
    for workload in [name for name, row in ROWS.items() if row.unshuffled]:
        losses = {r["system"]: float(r["loss_end"]) for r in results if r["workload"] == workload}
        if losses and not max(losses.values()) - min(losses.values()) <= AGREE * min(losses.values()):
            wrong.append(f"{workload}: the losses at the end differ: {losses}")
    return wrong
