"""Calls about data sets. Made from `async_dataset_calls.py` by scripts/sync_client.py: change that one."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from estimator_client import frames
from estimator_client.errors import ApiError, Json
from estimator_client.request_parts import once
from estimator_client.transport import Transport


class DatasetCalls:
    """What the client does with data sets."""

    _transport: Transport

    def upload(
        self,
        data: Any,
        *,
        name: str | None = None,
        schema: Json | None = None,
        idempotency_key: str | None = None,
        direct: bool = False,
    ) -> Json:
        """Uploads a data set; its view, with the types and statistics of its columns.

        Args:
            data: path of a file (csv, jsonl, parquet, tfrecord; also .gz, .zst), a DataFrame of pandas or polars, or a
                mapping of columns to arrays or lists.
            name: left out: the file's name without its endings, or `frame`.
            schema: dtype, sequence and shape of individual columns, where they should be others than the inferred.
            direct: the bytes go straight to the object store that the service has its artifacts in, past the API.
                Raises ApiError (409) where it has none.
        """
        if frames.is_frame(data) or isinstance(data, Mapping):
            content, ending = frames.as_file(data)
            file, filename = io.BytesIO(content), f"frame{ending}"
            return self._upload(file, filename, name or "frame", schema, idempotency_key, direct)
        path = Path(data)
        with path.open("rb") as opened:
            return self._upload(opened, path.name, name, schema, idempotency_key, direct)

    def _upload(
        self, file: IO[bytes], filename: str, name: str | None, schema: Json | None, key: str | None, direct: bool
    ) -> Json:
        fields = ({"name": name} if name else {}) | ({"schema": json.dumps(schema)} if schema else {})
        parts: dict[str, tuple[str | None, Any]] = {field: (None, fields[field]) for field in fields}
        if direct:
            given = self._transport.json("POST", "/v1/uploads", repeatable=True)
            self._transport.put_file(given["address"], file)
            parts |= {"upload": (None, given["id"]), "filename": (None, filename)}
        else:
            parts["file"] = (filename, file)
        return self._transport.json(
            "POST", "/v1/datasets", repeatable=True, files=parts, headers=once(key), timeout=None
        )

    def datasets(self) -> Iterator[Json]:
        """All data sets, newest first."""
        for dataset in self._transport.pages("/v1/datasets", "datasets"):
            yield dataset

    def dataset(self, dataset: str) -> Json:
        """A data set by its id, or the newest of a name. Raises LookupError for an unknown name."""
        if dataset.startswith("ds_"):
            return self._transport.json("GET", f"/v1/datasets/{dataset}")
        try:
            return self._transport.json("GET", f"/v1/datasets/{quote(dataset, safe='')}")
        except ApiError as error:
            if error.status != 404:
                raise
        if "/" in dataset:  # which no path of the service's can have
            for found in self.datasets():
                if found["name"] == dataset:
                    return found
        raise LookupError(f"No data set has the id or the name {dataset!r}.")

    def preview(self, dataset_id: str, *, rows: int = 10) -> list[Json]:
        """The first rows of a data set."""
        answer = self._transport.json("GET", f"/v1/datasets/{dataset_id}/preview", params={"rows": rows})
        return list(answer["rows"])

    def distributions(self, dataset: str, *, label: str | None = None, columns: Sequence[str] | None = None) -> Json:
        """Histograms, frequent values and missing ones of some columns (left out: the first 100) of a data set; with a
        `label` how strongly each goes with that column."""
        params: Json = {"column": list(columns or ())} | ({} if label is None else {"label": label})
        path = f"/v1/datasets/{quote(dataset, safe='')}/distributions"
        return self._transport.json("GET", path, params=params)

    def dataset_usage(self, dataset_id: str) -> Json:
        """The jobs and versions that were made from a data set."""
        return self._transport.json("GET", f"/v1/datasets/{dataset_id}/usage")

    def dataset_evaluations(self, dataset_id: str) -> list[Json]:
        """What was measured on a data set, of all models, newest first."""
        return list((self._transport.json("GET", f"/v1/datasets/{dataset_id}/evaluations"))["evaluations"])

    def delete_dataset(self, dataset: str, *, dry_run: bool = False) -> Json | None:
        """Deletes a data set that nothing needs, by its id or by a name that it alone has. With `dry_run`, as in the
        other deletes, nothing is deleted: the answer lists what would be removed and what still needs it."""
        return self._transport.delete(f"/v1/datasets/{quote(dataset, safe='')}", dry_run)
