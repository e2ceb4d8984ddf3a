"""Large bodies are decoded by another process, to the same columns and errors, within its memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.errors import InvalidInput, NotFound, ServiceError, Timeout, TooLarge
from app.serving.decode import Decoder
from app.serving.export_description import SERVING_JSON, ExportDescription, InputFeature, Output, Signature
from app.serving.large_body import LargeBodyReader
from app.serving.protocol import Form
from app.strict_json import JsonLimits, read_json
from tests.waiting import freeze

EXPORT = ExportDescription(
    format=1,
    features=[
        InputFeature("x", "float32"),
        InputFeature("word", "string"),
        InputFeature("list", "int64", sequence=True),
    ],
    signatures={"serving_default": Signature("predict", [Output("y", "float32", (None,))])},
)
ROW: dict[str, Any] = {"x": 1.5, "word": "a,b[", "list": [1, 2, 3]}


@pytest.fixture
def export(tmp_path: Path) -> str:
    path = tmp_path / SERVING_JSON
    path.parent.mkdir()
    path.write_bytes(msgspec.json.encode(EXPORT))
    return str(tmp_path)


def with_reader(work: Callable[[LargeBodyReader], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        reader = LargeBodyReader(**options)
        try:
            return await work(reader)
        finally:
            await reader.stop()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ({"instances": [ROW] * 5000}, Form.ROW),
        ({"inputs": {name: [value] * 5000 for name, value in ROW.items()}}, Form.COLUMN),
    ],
)
def test_packed_rows_equal_those_of_the_decoder(export: str, body: Any, form: Form) -> None:
    data = json.dumps(body).encode()
    decoded = with_reader(lambda reader: reader.decode(export, "", "predict", data, max_rows=10_000))

    here = Decoder(EXPORT, max_rows=10_000)
    expected = here.decode("predict", data)
    assert (decoded.form, decoded.count, decoded.longest, decoded.rows) == (form, 5000, 3, [])
    columns = msgspec.msgpack.encode(here.packers["serving_default"].pack(expected.rows))
    assert bytes(decoded.packed) == columns


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances":[{"x":1,"word":"a","list":[]},{"x":1,"word":"a"}]}',
        b'{"instances":[{"x":1,"x":2,"word":"a","list":[]}]}',
        b'{"instances":[' + b'{"x":1,"word":"a","list":[]},' * 10_000 + b'{"x":1,"word":"a","list":[]}]}',
        b'{"signature_name":"other","instances":[]}',
        b"no JSON",
        b"[" * 100_000,
    ],
)
def test_errors_are_those_of_the_decoder(export: str, body: bytes) -> None:
    with pytest.raises(ServiceError) as here:
        Decoder(EXPORT, max_rows=10_000).decode("predict", body)
    with pytest.raises(ServiceError) as there:
        with_reader(lambda reader: reader.decode(export, "", "predict", body, max_rows=10_000))

    assert type(there.value) is type(here.value)
    assert there.value.detail == here.value.detail
    assert getattr(there.value, "errors", None) == getattr(here.value, "errors", None)
    assert isinstance(there.value, InvalidInput | NotFound)


@pytest.mark.parametrize("piece", [b"{}", b"[]", b"1", b'"a"', b"null", b'{"x":1,"word":"","list":[]}'])
def test_body_that_unfolds_is_refused_before_it_does(export: str, piece: bytes) -> None:
    body = b'{"instances":[' + b",".join([piece] * (14 * 2**20 // (len(piece) + 1))) + b"]}"

    async def ask(reader: LargeBodyReader) -> int:
        with pytest.raises(ServiceError):
            await reader.decode(export, "", "predict", body, max_rows=65_536)
        return resident(reader.pid)

    assert with_reader(ask) < 250 * 2**20


def test_document_with_too_many_values_is_refused_and_long_strings_are_not() -> None:
    async def ask(reader: LargeBodyReader) -> None:
        await reader.check_document(json.dumps({"text": '",[{\\' * 2_000_000, "list": [1] * 100_000}).encode())
        for body in (b"[" + b"{}," * 200_000 + b"0]", b"[" + b"0," * 300_000 + b"0]"):
            with pytest.raises(TooLarge):
                await reader.check_document(body)

    with_reader(ask)


def test_many_keys_of_which_one_stands_twice_are_refused_in_linear_time() -> None:
    """A search for the double key that compares each with each takes half a minute for 60,000 keys."""
    keys = [f'"k{i:07d}":0' for i in range(90_000)]
    body = ("{" + ",".join(keys) + "," + keys[-1] + "}").encode()
    started = time.process_time()
    with pytest.raises(InvalidInput, match="'k0089999' stands twice"):
        read_json(body)
    assert time.process_time() - started < 3


@pytest.mark.parametrize("body", [b'"' + b'\\"' * 2_000_000, b'"' * 2_000_001, b"\\" * 2_000_000 + b'"'])
def test_strings_are_skipped_in_linear_time(body: bytes) -> None:
    started = time.process_time()
    with pytest.raises(TooLarge):
        JsonLimits(values=0, containers=0).check(body + b",")
    assert time.process_time() - started < 3


def test_keys_of_a_document_are_bounded_outside_strings() -> None:
    limits = JsonLimits(values=100, containers=100, keys=2)
    limits.check(b'{"a":1,"b::":":::"}')
    with pytest.raises(TooLarge, match="more than 2 keys"):
        limits.check(b'{"a":1,"b":2,"c":3}')


def test_process_that_dies_is_replaced(export: str) -> None:
    async def ask(reader: LargeBodyReader) -> None:
        body = json.dumps({"instances": [ROW] * 10}).encode()
        await reader.decode(export, "", "predict", body, max_rows=10)
        first = reader.pid
        os.kill(first, signal.SIGKILL)
        assert (await reader.decode(export, "", "predict", body, max_rows=10)).count == 10
        assert reader.pid != first

    with_reader(ask)


def test_process_that_does_not_answer_is_ended_and_replaced() -> None:
    async def ask(reader: LargeBodyReader) -> None:
        await reader.check_document(b"{}")
        freeze(reader.pid)
        with pytest.raises(Timeout):
            await reader.check_document(b"{}")

    with_reader(ask, timeout_s=3.0)


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
