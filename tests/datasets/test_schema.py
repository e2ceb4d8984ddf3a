"""The client's schema: what it may say, and where it is wrong."""

from typing import Any

import pytest

from app.datasets.upload_schema import ColumnSchema, parse_schema
from app.errors import InvalidInput


def test_what_is_left_out_is_left_to_the_data() -> None:
    assert parse_schema(None, 10)["x"] == parse_schema({}, 10)["x"] == ColumnSchema()
    schema = parse_schema({"columns": {"a": {"dtype": "float32", "shape": [2, 3]}, "b": {"sequence": True}}}, 10)
    assert (schema["a"].width, schema["a"].is_list, schema["b"].width, schema["b"].is_list) == (6, True, None, True)


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ([], "/schema"),
        ({"column": {}}, "/schema"),
        ({"columns": []}, "/schema"),
        ({"columns": {"a/b~c": 1}}, "/schema/columns/a~1b~0c"),
        ({"columns": {"\ud800": {}, "x": {"dtype": "\ud800"}}}, "/schema/columns/x"),
        ({"columns": {"a": {"dtype": ["int64"]}}}, "/schema/columns/a"),
        ({"columns": {"a": {"type": "int64"}}}, "/schema/columns/a"),
        ({"columns": {"a": {"sequence": "yes"}}}, "/schema/columns/a"),
        ({"columns": {"a": {"shape": [0]}}}, "/schema/columns/a"),
        ({"columns": {"a": {"shape": [True]}}}, "/schema/columns/a"),
        ({"columns": {"a": {"shape": [11]}}}, "/schema/columns/a"),
        ({"columns": {"a": {"shape": [1] * 9}}}, "/schema/columns/a"),
        ({"columns": {"a": {"shape": [10**30, 10**30]}}}, "/schema/columns/a"),
        ({"columns": {"a": {"shape": [2], "dtype": "string"}}}, "/schema/columns/a"),
        ({"columns": {"a": {"shape": [2], "sequence": True}}}, "/schema/columns/a"),
    ],
)
def test_wrong_schema_is_refused_with_a_pointer(value: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_schema(value, 10)
    assert caught.value.errors[0].pointer == pointer


def test_unknown_columns_are_all_named() -> None:
    schema = parse_schema({"columns": {"a": {}, "b": {}, "\ud800": {}}}, 10)
    with pytest.raises(InvalidInput) as caught:
        schema.check_names(["b"])
    assert [error.pointer for error in caught.value.errors] == ["/schema/columns/a", "/schema/columns/\\ud800"]
