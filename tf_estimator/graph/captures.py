"""The variables whose handles the functions of a traced model capture, per replica."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from ..distribution.replicas import Replicas
from ..variables import TracedVariable, VariableSet
from .graph_variables import GraphVariables
from .subgraph import Subgraph

v1 = tf.compat.v1


class Captures:
    """The variable sets that functions are made with.

    Args:
        variables: those of the graph.
        replicas: the run's, if it has several.

    Attributes:
        reference: handles that stand for the model's variables; a call replaces them by those of the wanted set.
        local: the local variables, of which there is one set.
        devices: per replica of this process, where its copies of the variables are; None for the variables themselves.
    """

    def __init__(self, variables: GraphVariables, replicas: Replicas | None) -> None:
        home = None if replicas is None else replicas.devices[0]
        self.reference = VariableSet(device=home, handles_only=True)
        self.local = VariableSet(device=home)
        self.devices: list[str | None] = [None] if replicas is None else [None, *replicas.devices[1:]]
        self._variables = variables

    def prepare(self, variables: Sequence[TracedVariable], devices: Sequence[str | None] = ()) -> None:
        """Makes the variables that are not there yet, and their copies on `devices`."""
        model = {t.key for t in self._variables.model()}
        for home, own in ((self.reference, True), (self.local, False)):
            wanted = [t for t in variables if (t.key in model) == own]
            home.ensure(wanted)
            for device in devices:
                if device is not None:
                    home.copy([t.name for t in wanted], device)

    def handle(self, traced: TracedVariable, device: str | None = None) -> tf.Tensor:
        """The handle that functions capture for a variable, or for its copy on `device`."""
        home = self.local if traced.name in self.local else self.reference
        return home.variable_on(traced.name, device).handle

    def handles_for(self, subgraph: Subgraph, *, waiting: bool = False) -> Mapping[str, tf.Tensor]:
        """By name, what a subgraph takes from outside besides its feeds, as tensors of the function that is being made.

        With `waiting`, they are there only after the control dependencies that are in force.
        """
        outside = {t.variable.handle.name: self.handle(t) for t in subgraph.variables} | subgraph.shared
        take = tf.identity if waiting else v1.get_default_graph().capture
        return {name: take(handle) for name, handle in outside.items()}

    def variable(self, name: str) -> tf.Variable:
        """The variable that functions capture for `name`."""
        return self.local[name] if name in self.local else self.reference[name]

    def broadcast(self, state: VariableSet) -> None:
        """Gives the further replicas of this process the values that `state` has now."""
        devices = [device for device in self.devices if device is not None]
        names = [t.name for t in self._variables.model()] if devices else []
        for device in devices:
            state.copy(names, device)
        state.broadcast(names, devices)
