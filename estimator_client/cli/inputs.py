"""Inputs of commands: job files, and rows to predict from files, standard input or the command line."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from estimator_client.cli.exits import Exit
from estimator_client.cli.output import fail

_NOT_THERE = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
_TRUE, _FALSE = ("true", "1", "yes", "t"), ("false", "0", "no", "f")


def read_document(text: str) -> Any:
    """JSON from the text itself; JSON, YAML or TOML from the file that it names; JSON from standard input for `-`."""
    try:
        if text == "-":
            return json.load(sys.stdin)
        if text.lstrip().startswith(("{", "[")):
            return json.loads(text)
        return _parsed(Path(text))
    except OSError as error:
        fail(f"Cannot read {text}: {error.strerror}.", Exit.USAGE)
    except ValueError as error:
        fail(f"Not valid JSON, YAML or TOML: {error}.", Exit.USAGE)


def _parsed(path: Path) -> Any:
    if path.suffix in (".yaml", ".yml"):
        try:
            import yaml
        except ImportError:
            fail(f"{path} is YAML, which needs PyYAML: pip install pyyaml. JSON and TOML need nothing.")
        try:
            return yaml.safe_load(path.read_text())
        except yaml.YAMLError as error:
            raise ValueError(error) from error
    if path.suffix == ".toml":
        import tomllib

        return tomllib.loads(path.read_text())
    return json.loads(path.read_text())


@contextmanager
def rows(source: str, form: str | None) -> Iterator[Iterable[Any]]:
    """The rows of a source, read as they are needed, as JSON has them; CSV gives text.

    Args:
        source: JSON of a row or of a list of rows; `-` for standard input; else the name of a file.
        form: csv, json, jsonl or parquet; None: by the file's name, for standard input jsonl.
    """
    if source.lstrip().startswith(("{", "[")):
        yield _listed(read_document(source))
        return
    path = Path(source)
    form = form or ("jsonl" if source == "-" else path.suffix.lstrip(".").lower())
    if form not in ("csv", "json", "jsonl", "parquet"):
        fail(f"{source}: the rows' format is not known. Say it: --format csv, json, jsonl or parquet.", Exit.USAGE)
    try:
        if form == "parquet":
            yield _parquet(sys.stdin.buffer if source == "-" else path)
        elif source == "-":
            yield _text_rows(sys.stdin, form)
        else:
            with path.open(newline="") as file:
                yield _text_rows(file, form)
    except BrokenPipeError:  # of the output, not of this source
        raise
    except OSError as error:
        fail(f"Cannot read {source}: {error.strerror or error}.", Exit.USAGE)


def _text_rows(file: IO[str], form: str) -> Iterable[Any]:
    if form == "csv":
        return csv.DictReader(file)
    if form == "json":
        return _listed(_json(file.read(), None))
    return (_json(line, number) for number, line in enumerate(file, 1) if line.strip())


def _json(text: str, line: int | None) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        fail(f"Not valid JSON{'' if line is None else f' in line {line}'}: {error}.", Exit.USAGE)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _parquet(source: Any) -> Iterator[Any]:
    try:
        from pyarrow import parquet
    except ImportError:
        fail("Parquet needs pyarrow: pip install pyarrow. CSV and JSON lines need nothing.")
    import io

    file = source if isinstance(source, Path) else io.BytesIO(source.read())
    return (row for batch in parquet.ParquetFile(file).iter_batches(4096) for row in batch.to_pylist())


class Features:
    """Makes rows of a file into instances of a model: its features only, text of a CSV in the features' types."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._features = {feature["name"]: feature for feature in metadata["features"]}
        #: columns of the file that are no features, in their order
        self.ignored: dict[str, None] = {}

    def instance(self, row: Any) -> Any:
        if not isinstance(row, Mapping) or not self._features:
            return row
        found = {}
        for name, value in row.items():
            if name not in self._features:
                self.ignored[name] = None
            else:
                found[name] = _typed(value, self._features[name]["dtype"]) if isinstance(value, str) else value
        return found


def _typed(text: str, dtype: str) -> Any:
    """Text of a file as a value of the feature's type; what cannot be is left to the service to refuse."""
    if dtype == "string":
        return text or None
    if text.strip() in _NOT_THERE:
        return None
    if dtype == "bool":
        lower = text.strip().lower()
        return True if lower in _TRUE else False if lower in _FALSE else text
    try:
        return float(text) if dtype.startswith(("float", "bfloat")) else int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            return text
        return int(number) if number.is_integer() else number
