"""Two columns that would be one input of the exported model are refused before the job is taken, with both names."""

from __future__ import annotations

from typing import Any

import pytest
from tensorflow.core.function.polymorphism.function_type import sanitize_arg_name

from app.jobs.signature_names import clash, input_name
from app.jobs.spec import Feature, Missing


def feature(name: str, *, sequence: bool = False) -> Feature:
    missing = Missing(policy="mean", value=None)
    content: dict[str, Any] = {"vocabulary": None, "min": None, "max": None}
    return Feature(name=name, dtype="float32", shape=(), sequence=sequence, missing=missing, **content)


@pytest.mark.parametrize(
    "name", ["a", "a b", "a/b", "_id", "-x", "1st", "größe", "年齢", "😀", "x²", "n" * 300, "a.b:c"]
)
def test_input_name_is_what_tensorflow_makes_of_it(name: str) -> None:
    assert input_name(name) == sanitize_arg_name(name)


@pytest.mark.parametrize(("first", "second"), [("a b", "a_b"), ("a/b", "a:b"), ("_id", "-id"), ("x", "x")])
def test_two_names_that_become_one_are_told_with_both(first: str, second: str) -> None:
    told = clash([feature(first), feature("other"), feature(second)])
    assert told is not None
    assert f"'{first}' and '{second}'" in told


def test_length_of_a_sequence_is_an_input_too() -> None:
    told = clash([feature("words", sequence=True), feature("words_length")])
    assert told is not None
    assert "'words' and 'words_length'" in told


def test_names_that_stay_apart_are_fine() -> None:
    assert clash([feature("a b"), feature("a-bb"), feature("größe"), feature("groesse"), feature("A b")]) is None


@pytest.mark.parametrize("name", ["class", "self", "None", "lambda"])
def test_words_of_python_are_told_before_an_export_fails(name: str) -> None:
    told = clash([feature("other"), feature(name)])
    assert told is not None
    assert f"'{name}'" in told
