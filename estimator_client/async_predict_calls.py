"""Calls about predictions, asynchronous. `predict_calls.py` is made from this file by `scripts/sync_client.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from estimator_client import frames, infer_tensors
from estimator_client.async_grpc_calls import AsyncGrpcCalls
from estimator_client.async_transport import AsyncTransport
from estimator_client.errors import Json
from estimator_client.request_parts import version_path


class AsyncPredictCalls:
    """What the client asks of models."""

    _transport: AsyncTransport
    _grpc: AsyncGrpcCalls | None

    async def metadata(self, model: str, *, version: int | None = None, label: str | None = None) -> Json:
        """Signatures, features and example rows of a version."""
        return await self._transport.json("GET", f"{version_path(model, version, label)}/metadata")

    async def predict(
        self,
        model: str,
        instances: Any,
        *,
        version: int | None = None,
        label: str | None = None,
        batch_size: int = 1000,
        key: str | None = None,
        ignore_unknown: bool = False,
    ) -> list[Any]:
        """Predictions for rows, in their order, by the version behind the label `latest` or by the one named.

        Args:
            instances: an iterable of rows, a DataFrame of pandas or polars, or a mapping of columns to arrays.
            batch_size: rows per request.
            key: the same key gets the same version of a label that divides its requests.
            ignore_unknown: leave out columns that the model does not have. Not by gRPC.
        """
        self._check_options(ignore_unknown)
        path = f"{version_path(model, version, label)}:predict"
        headers = {} if key is None else {"x-request-key": key}
        found: list[Any] = []
        for batch in frames.batches(frames.rows_of(instances), batch_size):
            if self._grpc is not None:
                for tensors in infer_tensors.calls_of_rows(batch):
                    outputs = await self._grpc.infer(model, _named(version, label), tensors, key=key)
                    found += infer_tensors.rows_of_outputs(outputs)
                continue
            body = {"instances": batch} | ({"ignore_unknown": True} if ignore_unknown else {})
            answer = await self._transport.json("POST", path, repeatable=True, json=body, headers=headers)
            found += answer["predictions"]
        return found

    async def predict_answer(
        self,
        model: str,
        instances: Any,
        *,
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        ignore_unknown: bool = False,
        ids: bool = False,
        warnings: bool = False,
    ) -> Json:
        """The whole answer to one request, always by HTTP: `predictions`, and as asked for `ids`, by which `feedback`
        tells what a prediction should have been, and `warnings` of what was missing, unknown or far out."""
        path = f"{version_path(model, version, label)}:predict"
        body: Json = {"instances": frames.rows_of(instances)}
        options = {"ignore_unknown": ignore_unknown, "warnings": warnings}
        body |= {name: True for name in options if options[name]}
        headers = {} if key is None else {"x-request-key": key}
        params = {"ids": "true"} if ids else {}
        return await self._transport.json("POST", path, repeatable=True, json=body, headers=headers, params=params)

    async def classify(
        self, model: str, examples: Any, *, version: int | None = None, label: str | None = None
    ) -> list[Any]:
        """For each row its labels with their scores, by one request over HTTP."""
        body = {"examples": frames.rows_of(examples)}
        path = f"{version_path(model, version, label)}:classify"
        return list((await self._transport.json("POST", path, repeatable=True, json=body))["results"])

    async def regress(
        self, model: str, examples: Any, *, version: int | None = None, label: str | None = None
    ) -> list[float]:
        """A number for each row, by one request over HTTP."""
        body = {"examples": frames.rows_of(examples)}
        path = f"{version_path(model, version, label)}:regress"
        return list((await self._transport.json("POST", path, repeatable=True, json=body))["results"])

    async def predict_frame(self, model: str, frame: Any, **options: Any) -> Any:
        """Predictions for a DataFrame as one of the same library, row by row; options as of `predict`.

        An output with one value per row is a column of values; a longer one is a column of lists.
        """
        return frames.frame_like(frame, await self.predict(model, frame, **options))

    async def predict_columns(
        self,
        model: str,
        columns: Mapping[str, Any],
        *,
        version: int | None = None,
        label: str | None = None,
        ignore_unknown: bool = False,
    ) -> Any:
        """Predictions by columns: arrays or lists in, NumPy arrays out where NumPy is installed, else lists. One output
        comes alone, several by their names. By gRPC the arrays have the dtypes of the model."""
        self._check_options(ignore_unknown)
        path = f"{version_path(model, version, label)}:predict"
        if self._grpc is not None:
            tensors = infer_tensors.tensors_of_columns(columns)
            outputs = await self._grpc.infer(model, _named(version, label), tensors)
            return outputs if len(outputs) > 1 else next(iter(outputs.values()))
        body = {"inputs": frames.columns_of(columns)} | ({"ignore_unknown": True} if ignore_unknown else {})
        answer = await self._transport.json("POST", path, repeatable=True, json=body)
        return frames.arrays(answer["outputs"])

    def _check_options(self, ignore_unknown: bool) -> None:
        if ignore_unknown and self._grpc is not None:
            raise ValueError("ignore_unknown goes by HTTP: a client without `grpc`.")


def _named(version: int | None, label: str | None) -> str:
    """A version as the Open Inference Protocol has it here: a number, a label, or nothing."""
    return label or "" if version is None else str(version)
