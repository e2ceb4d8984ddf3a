"""Graph work in threads of its own: tracing starts from nothing, and calls made inside a graph leave it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import tensorflow as tf

v1 = tf.compat.v1

Method = TypeVar("Method", bound=Callable[..., Any])


def in_fresh_thread(function: Callable[[], Any]) -> Any:
    """Runs `function` in a new thread and returns what it returns, or raises what it raises.

    Keras counts layer names, and TensorFlow keeps the default graph, per thread: a new thread starts from nothing, and
    it is eager even after `tf.compat.v1.disable_eager_execution()`.
    """
    result: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(eagerly(function))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="trace", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def eagerly(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls `function` in eager mode, in a thread that is in no graph."""
    with tf.__internal__.eager_context.eager_mode():
        return function(*arguments)


def outside_graphs(method: Method) -> Method:
    """Lets a method be called inside `with graph.as_default()`, by a hook for example: in its own thread then."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        if tf.executing_eagerly():
            return method(*args, **kwargs)
        return in_fresh_thread(lambda: method(*args, **kwargs))

    return cast(Method, call)


def wrapped(body: Callable[..., Any], signature: Sequence[Any]) -> Any:
    """The concrete function of a graph function, made outside of any graph."""

    held = [body]

    def once(*arguments: Any) -> Any:
        return held.pop()(*arguments)  # the function keeps what it was made of: a whole data set, if `body` has one

    def make() -> Any:
        return v1.wrap_function(once, signature)

    return make() if tf.executing_eagerly() else in_fresh_thread(make)
