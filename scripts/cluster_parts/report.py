"""What was checked, as it is told while the run goes on and at its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass
class Step:
    """One step: its checks, each with whether it held. `why`: what broke it off."""

    name: str
    checks: list[tuple[str, bool]] = field(default_factory=list)
    why: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return bool(self.checks) and not self.why and all(held for _, held in self.checks)


@dataclass
class Report:
    """All steps. It is good when there are some, and each was good."""

    console: Console
    steps: list[Step] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def begin(self, name: str) -> None:
        self.steps.append(Step(name))
        self.console.print(f"\n[bold]{name}[/]", highlight=False)

    def tell(self, text: str) -> None:
        """What is done, or waited for."""
        self.console.print(
            f"{time.monotonic() - self.begun:7.1f} s  {text}", highlight=False, markup=False, soft_wrap=True
        )

    def check(self, text: str, held: Any) -> None:
        self.steps[-1].checks.append((text, bool(held)))
        mark = "[green]ok[/]" if held else "[bold red]NO[/]"
        self.console.print(f"{time.monotonic() - self.begun:7.1f} s  {mark}  ", end="", highlight=False)
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @property
    def good(self) -> bool:
        return bool(self.steps) and all(step.good for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.good,
            "seconds": round(time.monotonic() - self.begun, 1),
            "steps": [
                {
                    "name": step.name,
                    "ok": step.good,
                    "seconds": round(step.seconds, 1),
                    "checks": len(step.checks),
                    "failed": [text for text, held in step.checks if not held] + ([step.why] if step.why else []),
                }
                for step in self.steps
            ],
        }

    def summary(self) -> None:
        table = Table("step", "checks", "s", "", title="What came of it")
        for step in self.steps:
            held = sum(held for _, held in step.checks)
            said = "[green]good[/]" if step.good else "[bold red]NOT GOOD[/]"
            table.add_row(step.name, f"{held} of {len(step.checks)}", f"{step.seconds:.0f}", said)
        self.console.print(table)
        for step in self.steps:
            for text, held in step.checks:
                if not held:
                    self.console.print(f"{step.name}: {text}", markup=False, highlight=False, soft_wrap=True)
            if step.why:
                self.console.print(f"{step.name}: {step.why}", markup=False, highlight=False, soft_wrap=True)
