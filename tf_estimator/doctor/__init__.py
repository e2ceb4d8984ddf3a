"""The doctor: reads a model directory and says what it is, what loads, what doesn't and why, and how to continue it.
Run it by `python -m tf_estimator.doctor MODEL_DIR`.

May import of the engine's folders: `checkpoint`. Start with `__main__.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import canned, model_directory, optimizers, program
from .canned import DiagnosedModel
from .graph import Graph
from .model_directory import Contents
from .optimizers import Optimizer

__all__ = ["Diagnosis", "diagnose"]


@dataclass(frozen=True)
class Diagnosis:
    """What a model directory holds.

    Attributes:
        contents: checkpoints, variables, problems.
        model: the canned model, or its absence.
        optimizers: by name.
        code: Python that continues it.
    """

    contents: Contents
    model: DiagnosedModel
    optimizers: dict[str, Optimizer]
    code: str

    def report(self) -> str:
        """All of it as text for people."""
        contents, model = self.contents, self.model
        lines = [f"Checkpoints: {', '.join(contents.checkpoints) or 'none'}"]
        if contents.prefix is not None:
            lines.append(f"Reads: {contents.prefix} at global step {contents.step}")
            lines += self._about()
        lines += [f"Problem: {problem}" for problem in contents.problems]
        if model.family and model.unexplained:
            lines.append(
                f"Problem: a {model.name} of these columns has no such variables, they won't be read: "
                f"{model.unexplained}. Give it the columns or layers that made them (shared embeddings with a name of "
                "their own can't be told from their variable), or continue it by the model_fn that did."
            )
        if contents.prefix is not None:
            if not contents.problems and not (model.family and model.unexplained):
                lines.append(f"Loads: all of its {len(contents.shapes)} variables.")
            lines += ["", self.code]
        return "\n".join(lines)

    def _about(self) -> list[str]:
        model = self.model
        if not model.family:
            lines = ["Model: none of the canned ones; its own model_fn is needed. Variables:"]
            return lines + [f"  {name} {self.contents.shapes[name]}" for name in model.unexplained]
        units = f", units {model.units}" if model.units else ""
        cell = f" of {model.cell_type} cells" if model.cell_type else ""
        sure = "" if model.sure else " (or a regressor, or another head: no graph or evaluation beside it shows which)"
        api = " of tf.compat.v1.estimator" if program.is_v1(self.optimizers) else ""
        lines = [f"Model: {model.name}{api}{cell}{units}, {model.outputs} output{'s' * (model.outputs != 1)}{sure}"]
        for optimizer in self.optimizers.values():
            arguments = ", ".join(f"{name} {value:.6g}" for name, value in optimizer.arguments.items())
            name = f"tf.compat.v1.train.{optimizer.name}Optimizer" if optimizer.v1 else optimizer.name
            lines.append(f"Optimizer: {name}{f' ({arguments})' if arguments else ''}")
        return lines


def diagnose(model_dir: str) -> Diagnosis:
    """Examines `model_dir`; changes nothing in it.

    Raises:
        FileNotFoundError: there is no such directory.
    """
    contents = model_directory.read(model_dir)
    graph = Graph.read(model_dir)
    model = canned.find(contents.shapes, graph, model_dir)
    found = optimizers.find(contents.shapes, contents.scalars, graph) if model.family else {}
    return Diagnosis(contents, model, found, program.write(model, found, model_dir))
