"""Predictions in Arrow's stream format, as pyarrow, pandas and polars make it."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.serving.conftest import Server

ARROW = "application/vnd.apache.arrow.stream"
HEADERS = {"Content-Type": ARROW, "Accept": ARROW}


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=3)
    return sink.getvalue()


def ask(server: Server, path: str, body: Any, headers: dict[str, str] = HEADERS) -> httpx.Response:
    content = stream(body) if isinstance(body, pa.Table) else body
    return server.client.post(f"/v1/models/{path}", content=content, headers=headers)


def table_of(answer: httpx.Response) -> pa.Table:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == ARROW
    return pa.ipc.open_stream(answer.content).read_all()


MIXED = {
    "a": [0.5, None, 0.5, 0.5],
    "n": [1, 2, 3, 4],
    "v": [[1.0, 2.0]] * 4,
    "s": ["x", None, "yy", "x"],
    "q": [[1.0], [], None, [1.0, 2.0]],
    "w": [["u"], ["u", "v"], [], None],
}
# a + 10 n + 100 (sum of v) + 1000 (length of s) + 10000 (sum of q); 0.25, "" and [] stand in
TOTAL = [0.5 + 10 + 300 + 1000 + 10000, 0.25 + 20 + 300, 0.5 + 30 + 300 + 2000, 0.5 + 40 + 300 + 1000 + 30000]


def test_columns_of_every_kind_go_in_and_come_out(server: Server) -> None:
    table = pa.table(MIXED)
    found = table_of(ask(server, "mixed:predict", table)).to_pydict()
    assert found["total"] == TOTAL
    assert found["words"] == [1, 2, 0, 0]
    assert found["text"] == ["x-1", "-2", "yy-3", "x-4"]
    rows = [{name: values[row] for name, values in MIXED.items()} for row in range(4)]
    json = server.post("mixed:predict", {"instances": rows}).json()["predictions"]
    assert [row["total"] for row in json] == TOTAL


def test_either_side_may_be_json(server: Server) -> None:
    table = pa.table({"x": [1.0, 2.0]})
    answer = ask(server, "half:predict", table, {"Content-Type": ARROW})
    assert answer.json() == {"predictions": [2.5, 3.0]}
    answer = server.client.post(
        "/v1/models/half:predict", json={"instances": [{"x": 1.0}]}, headers={"Accept": f"{ARROW}, */*"}
    )
    assert table_of(answer).to_pydict() == {"y": [2.5]}
    body = {"instances": [{"x": 1.0}], "warnings": True}
    assert server.client.post("/v1/models/half:predict", json=body, headers={"Accept": ARROW}).status_code == 422


def test_pandas_and_polars_send_and_read_it(server: Server) -> None:
    frame = pd.DataFrame({"x": pd.array([1, 2, 4], "int32")})
    found = table_of(ask(server, "half:predict", pa.Table.from_pandas(frame, preserve_index=False))).to_pandas()
    assert found["y"].tolist() == [2.5, 3.0, 4.0]

    for dtype in (pl.String, pl.Categorical):
        frame = pl.DataFrame(
            {"n": [1, 2], "v": [[1.0, 2.0]] * 2, "s": pl.Series(["x", "yy"], dtype=dtype), "w": [["a"], ["b"]]}
        )
        answer = ask(server, "mixed:predict", frame.write_ipc_stream(None).getvalue())
        assert answer.status_code == 200, answer.text
        assert pl.read_ipc_stream(io.BytesIO(answer.content))["text"].to_list() == ["x-1", "yy-2"]


def test_signature_and_unknown_columns_are_in_the_query(server: Server) -> None:
    table = pa.table({"x": [2.0], "more": ["?"]})
    assert ask(server, "half:predict", table).status_code == 422
    found = table_of(ask(server, "half:predict?ignore_unknown=true&signature_name=regression", table))
    assert found["outputs"].to_pylist() == [[3.0]]
    assert ask(server, "half:predict?signature_name=nobody", table).status_code == 404
    assert ask(server, "half:predict?ignore=1", table).status_code == 422
    assert ask(server, "half:regress", table).status_code == 415


@pytest.mark.parametrize("count", [0, 5000])
def test_no_rows_and_many(server: Server, count: int) -> None:
    table = pa.table({"x": pa.array([float(i % 7) for i in range(count)], pa.float32())})
    found = table_of(ask(server, "half:predict", table))["y"].to_pylist()
    assert found == [i % 7 / 2 + 2 for i in range(count)]


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"n": ["1"]}),
        pa.table({"n": [1.5]}),
        pa.table({"n": pa.array([2**64 - 1], pa.uint64())}),
        pa.table({"n": pa.array([None], pa.int64())}),
        pa.table({"n": pa.array([1, None, 3], pa.int64())}),
        pa.table({"n": [[1]]}),
        pa.table({"v": [[1.0]]}),
        pa.table({"v": [[1.0, 2.0], [1.0]]}),
        pa.table({"v": [[1.0, None]]}),
        pa.table({"v": [1.0]}),
        pa.table({"q": [["a"]]}),
        pa.table({"q": [[[1.0]]]}),
        pa.table({"s": [1]}),
        pa.table({"w": ["a"]}),
        pa.table({"s": [b"x"], "n": [{"a": 1}]}),
    ],
)
def test_wrong_columns_are_named(server: Server, table: pa.Table) -> None:
    whole = {name: pa.array([values[0]] * table.num_rows) for name, values in MIXED.items()}
    answer = ask(
        server, "mixed:predict", pa.table({**whole, **dict(zip(table.column_names, table.columns, strict=True))})
    )
    assert answer.status_code == 422, answer.text
    assert f"'{table.column_names[-1]}'" in answer.json()["detail"]


def test_bytes_that_are_no_stream_are_invalid_and_harm_nobody(server: Server) -> None:
    good = stream(pa.table({"x": [1.0, 2.0], "s": ["a", "b"]}))
    broken = [b"", b"nothing", b"\xff\xff\xff\xff\xff\xff\xff\x7f", good[:-9], good[:100], good[8:], b"ARROW1" + good]
    for at in range(40, len(good) - 8, 61):
        broken.append(good[:at] + bytes([good[at] ^ 0xFF]) * 4 + good[at + 4 :])
    for body in broken:
        assert ask(server, "half:predict?ignore_unknown=true", body).status_code in {200, 422, 413}
    assert ask(server, "half:predict", pa.table({"x": [1.0]})).status_code == 200


def test_a_stream_that_unfolds_is_too_large(server: Server) -> None:
    table = pa.table({"x": pa.array([0.0] * 70_000, pa.float64())})
    body = stream(table, options=pa.ipc.IpcWriteOptions(compression="zstd"))
    answer = ask(server, "half:predict", body)
    assert answer.status_code == 413
    assert "65536 rows" in answer.json()["detail"]
