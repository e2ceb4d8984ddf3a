"""The Python client. Made from `async_client.py` by scripts/sync_client.py: change that one.

from estimator_client import Client

with Client("http://127.0.0.1:8000", token) as client:
    dataset = client.upload("penguins.csv")
    job = client.submit({"type": "train", "model": "penguins", …})
    job.wait(bar=True, check=True)
    client.predict("penguins", [{"bill_length_mm": 39.1, …}])
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import quote

from estimator_client import frames
from estimator_client.errors import Json
from estimator_client.event_stream import Event
from estimator_client.job import Job
from estimator_client.transport import Transport


class Client:
    """All that the service does, for people who write Python.

    Args:
        address: of the service, for example http://127.0.0.1:8000.
        token: its secret, with the scopes that the calls need.
        timeout_s: seconds without any byte after which a request is given up; uploads have no limit.
        patience_s: seconds during which a request is tried again that the service could not take (429 and 503, after
            the time that `Retry-After` says), or that got no answer and may be repeated. Uploads, submitted jobs and
            new tokens carry an idempotency key, so that nothing is done twice.

    Every method raises ApiError when the service refuses and Unreachable when no answer comes.
    """

    def __init__(self, address: str, token: str, *, timeout_s: float = 30.0, patience_s: float = 30.0) -> None:
        self._transport = Transport(address, token, timeout_s=timeout_s, patience_s=patience_s)

    @property
    def address(self) -> str:
        return self._transport.address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    # data sets

    def upload(
        self, data: Any, *, name: str | None = None, schema: Json | None = None, idempotency_key: str | None = None
    ) -> Json:
        """Uploads a data set; its view, with the types and statistics of its columns.

        Args:
            data: path of a file (csv, jsonl, parquet, tfrecord; also .gz, .zst), or a DataFrame of pandas or polars.
            name: left out: the file's name, or `frame`.
            schema: dtype, sequence and shape of individual columns, where they should be others than the inferred.
        """
        if frames.is_frame(data):
            content, ending = frames.as_file(data)
            return self._upload(io.BytesIO(content), f"frame{ending}", name or "frame", schema, idempotency_key)
        path = Path(data)
        with path.open("rb") as file:
            return self._upload(file, path.name, name or path.name, schema, idempotency_key)

    def _upload(
        self, file: IO[bytes], filename: str, name: str, schema: Json | None, idempotency_key: str | None
    ) -> Json:
        return self._transport.json(
            "POST",
            "/v1/datasets",
            repeatable=True,
            files={"file": (filename, file)},
            data={"name": name} | ({"schema": json.dumps(schema)} if schema else {}),
            headers=_once(idempotency_key),
            timeout=None,
        )

    def datasets(self) -> Iterator[Json]:
        """All data sets, newest first."""
        for dataset in self._transport.pages("/v1/datasets", "datasets"):
            yield dataset

    def dataset(self, dataset: str) -> Json:
        """A data set by its id, or the newest of a name. Raises LookupError for an unknown name."""
        if dataset.startswith("ds_"):
            return self._transport.json("GET", f"/v1/datasets/{dataset}")
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

    def delete_dataset(self, dataset: str, *, dry_run: bool = False) -> Json | None:
        """Deletes a data set that nothing needs, by its id or by a name that it alone has. With `dry_run`, as in the
        other deletes, nothing is deleted: the answer lists what would be removed and what still needs it."""
        return self._delete(f"/v1/datasets/{quote(dataset, safe='')}", dry_run)

    def _delete(self, path: str, dry_run: bool) -> Json | None:
        if dry_run:
            return self._transport.json("DELETE", path, repeatable=True, params={"dry_run": "true"})
        self._transport.send("DELETE", path)
        return None

    # jobs

    def submit(self, job: Json, *, idempotency_key: str | None = None) -> Job:
        """Submits a job (its fields: docs/jobs of the service, or GET /v1/estimators for estimators)."""
        headers = _once(idempotency_key)
        view = self._transport.json("POST", "/v1/jobs", repeatable=True, json=job, headers=headers)
        return Job(self._transport, view)

    def dry_run(self, job: Json) -> Json:
        """What a job would train: columns, parameters, memory, warnings. Stores nothing."""
        return self._transport.json("POST", "/v1/jobs", repeatable=True, json=job, params={"dry_run": "true"})

    def job(self, job_id: str) -> Job:
        return Job(self._transport, self._transport.json("GET", f"/v1/jobs/{job_id}"))

    def jobs(self, **filters: str) -> Iterator[Job]:
        """All jobs, newest first; filters: state, type, model, estimator, dataset, tag, text, created_after,
        created_before (times as RFC 3339)."""
        for view in self._transport.pages("/v1/jobs", "jobs", filters):
            yield Job(self._transport, view)

    def compare_jobs(self, job_ids: Sequence[str]) -> Json:
        """Two to ten jobs side by side: `differences` of their specifications, `metrics`, and curves in `series`."""
        return self._transport.json("GET", "/v1/jobs/compare", params={"ids": list(job_ids)})

    def update_job(self, job_id: str, **changes: Any) -> Job:
        """Changes what a job is called: `display_name` (a text or None), `tags` (a list)."""
        return Job(self._transport, self._transport.json("PATCH", f"/v1/jobs/{job_id}", json=changes))

    def delete_job(self, job_id: str, *, dry_run: bool = False) -> Json | None:
        """Deletes a job that has ended, with its checkpoints, evaluations and exports."""
        return self._delete(f"/v1/jobs/{job_id}", dry_run)

    def cancel(self, job_id: str) -> Job:
        return Job(self._transport, {"id": job_id}).cancel()

    def retry(self, job_id: str) -> Job:
        """Queues a failed or cancelled job again."""
        return Job(self._transport, {"id": job_id}).retry()

    def logs(self, job_id: str, *, attempt: int | None = None) -> str:
        return Job(self._transport, {"id": job_id}).logs(attempt=attempt)

    def evaluations(self, job_id: str) -> list[Json]:
        return Job(self._transport, {"id": job_id}).evaluations()

    def watch(self, job_id: str, *, after: int = 0, patience_s: float = 60.0) -> Iterator[Event]:
        """Events of a job to its end; see `Job.events`."""
        for event in Job(self._transport, {"id": job_id}).events(after=after, patience_s=patience_s):
            yield event

    def wait(self, job_id: str, *, timeout_s: float | None = None, poll_s: float = 0.5) -> Job:
        """The job when it has ended. Raises TimeoutError."""
        return (self.job(job_id)).wait(timeout_s=timeout_s, poll_s=poll_s)

    def report(self, evaluation_id: str) -> Json:
        """The model report of an evaluation: confusion matrix, curves, calibration, slices, worst rows."""
        return self._transport.json("GET", f"/v1/evaluations/{evaluation_id}/report")

    def report_page(self, evaluation_id: str) -> str:
        """The model report as one HTML page that needs nothing else, to send to someone."""
        path = f"/v1/evaluations/{evaluation_id}/report"
        return self._transport.text("GET", path, params={"format": "html"})

    def estimators(self) -> Json:
        """Estimators and their arguments, as JSON schemas."""
        return self._transport.json("GET", "/v1/estimators")

    # models

    def models(self, *, states: bool = False) -> Iterator[Json]:
        """All models; with `states` each with its newest versions and their states (`model_version_status`)."""
        for model in self._transport.pages("/v1/models", "models", {"states": "true"} if states else None):
            yield model

    def model(self, model: str) -> Json:
        """The model's labels and its newest versions."""
        return self._transport.json("GET", f"/v1/models/{model}")

    def versions(self, model: str) -> Iterator[Json]:
        """All versions of a model, newest first."""
        for version in self._transport.pages(f"/v1/models/{model}", "versions"):
            yield version

    def version(self, model: str, version: int) -> Json:
        """A version with its lineage and evaluations."""
        return dict((self._transport.json("GET", f"/v1/models/{model}/versions/{version}"))["versions"][0])

    def label(self, model: str, label: str = "latest") -> Json:
        """The version behind a label, with its lineage, and the version that the label pointed to before."""
        answer = self._transport.json("GET", f"/v1/models/{model}/labels/{label}")
        return dict(answer["versions"][0]) | {"previous": answer.get("previous")}

    def set_label(
        self, model: str, label: str, version: int, *, canary: Json | None = None, shadow: int | None = None
    ) -> Json:
        """Points a label to a version: promote, or roll back.

        Args:
            canary: another version that gets a share of the requests: `{"version": 8, "per_mille": 50}`, and `by`, the
                header that keeps a caller to one version. None: all requests go to `version`.
            shadow: another version that is asked copies of requests, to compare its answers.
        """
        body: Json = {"version": version} | ({} if canary is None else {"canary": canary})
        body |= {} if shadow is None else {"shadow": shadow}
        return self._transport.json("PUT", f"/v1/models/{model}/labels/{label}", json=body)

    def delete_label(self, model: str, label: str, *, dry_run: bool = False) -> Json | None:
        return self._delete(f"/v1/models/{model}/labels/{label}", dry_run)

    def delete_version(self, model: str, version: int, *, dry_run: bool = False) -> Json | None:
        """Deletes a version that no label points to, with its export."""
        return self._delete(f"/v1/models/{model}/versions/{version}", dry_run)

    def delete_model(self, model: str, *, dry_run: bool = False) -> Json | None:
        """Deletes a model without labels, with its versions and their exports."""
        return self._delete(f"/v1/models/{model}", dry_run)

    def delete_export(self, export_id: str, *, dry_run: bool = False) -> Json | None:
        """Deletes an export that is no version."""
        return self._delete(f"/v1/exports/{export_id}", dry_run)

    def create_release(self, model: str, version: int, **plan: Any) -> Json:
        """Begins to bring a version behind a label; `label`, `steps`, `guards` and `by` as in the API."""
        path, body = f"/v1/models/{model}/releases", {"version": version, **plan}
        return self._transport.json("POST", path, repeatable=True, json=body, headers=_once(None))

    def releases(self, model: str) -> Iterator[Json]:
        """A model's releases, newest first."""
        for release in self._transport.pages(f"/v1/models/{model}/releases", "releases"):
            yield release

    def release(self, model: str, release: str) -> Json:
        """A release with what its guards say now, and its events with their evidence."""
        return self._transport.json("GET", f"/v1/models/{model}/releases/{release}")

    def change_release(self, model: str, release: str, change: str) -> Json:
        """`pause`, `resume` or `abort`."""
        return self._transport.json("POST", f"/v1/models/{model}/releases/{release}/{change}")

    def set_keep(self, model: str, per_mille: int, **more: Any) -> Json:
        """Keeps so many of 1,000 requests; `days`, `bytes` and `redact` as in the API. 0: none."""
        return self._transport.json("PUT", f"/v1/models/{model}/keep", json={"per_mille": per_mille, **more})

    def feedback(self, model: str, labels: Mapping[str, Any]) -> Json:
        """Prediction id → what it should have been; at most 1,000."""
        items = [{"prediction_id": name, "label": label} for name, label in labels.items()]
        return self._transport.json("POST", f"/v1/models/{model}/feedback", repeatable=True, json={"items": items})

    def quality(self, model: str, *, days: float = 30.0, by: str | None = None) -> list[Json]:
        """How good each version's predictions were, by the labels that came back."""
        params = {"days": days} | ({} if by is None else {"by": by})
        return list((self._transport.json("GET", f"/v1/models/{model}/quality", params=params))["versions"])

    def feedback_dataset(self, model: str, name: str, **more: Any) -> Json:
        """Makes a data set of kept instances and their labels; `label`, `days` and `version` as in the API."""
        path, body = f"/v1/models/{model}/feedback/dataset", {"name": name, **more}
        return self._transport.json("POST", path, repeatable=True, json=body, headers=_once(None))

    def model_evaluations(self, model: str, *, dataset_id: str | None = None) -> list[Json]:
        """What was measured of a model's versions, to compare them."""
        params = {} if dataset_id is None else {"dataset": dataset_id}
        return list((self._transport.json("GET", f"/v1/models/{model}/evaluations", params=params))["evaluations"])

    def metadata(self, model: str, *, version: int | None = None, label: str | None = None) -> Json:
        """Signatures, features and example rows of a version."""
        return self._transport.json("GET", f"{_version_path(model, version, label)}/metadata")

    def download_export(self, model: str, version: int, file: IO[bytes]) -> None:
        """Writes a version's SavedModel to a file, as a tar archive."""
        self._transport.download(f"/v1/models/{model}/versions/{version}/saved_model", file, timeout=None)

    # predictions

    def predict(
        self,
        model: str,
        instances: Any,
        *,
        version: int | None = None,
        label: str | None = None,
        batch_size: int = 1000,
        key: str | None = None,
    ) -> list[Any]:
        """Predictions for rows, in their order, by the version behind the label `latest` or by the one named.

        Args:
            instances: an iterable of rows, a DataFrame of pandas or polars, or a mapping of columns to arrays.
            batch_size: rows per request.
            key: the same key gets the same version of a label that divides its requests.
        """
        path = f"{_version_path(model, version, label)}:predict"
        headers = {} if key is None else {"x-request-key": key}
        found: list[Any] = []
        for batch in frames.batches(frames.rows_of(instances), batch_size):
            body = {"instances": batch}
            answer = self._transport.json("POST", path, repeatable=True, json=body, headers=headers)
            found += answer["predictions"]
        return found

    def predict_frame(self, model: str, frame: Any, **options: Any) -> Any:
        """Predictions for a DataFrame as one of the same library, row by row; options as of `predict`.

        An output with one value per row is a column of values; a longer one is a column of lists.
        """
        return frames.frame_like(frame, self.predict(model, frame, **options))

    def predict_columns(
        self, model: str, columns: Mapping[str, Any], *, version: int | None = None, label: str | None = None
    ) -> Any:
        """Predictions by columns: arrays or lists in, NumPy arrays out where NumPy is installed, else lists. One output
        comes alone, several by their names."""
        path = f"{_version_path(model, version, label)}:predict"
        body = {"inputs": frames.columns_of(columns)}
        answer = self._transport.json("POST", path, repeatable=True, json=body)
        return frames.arrays(answer["outputs"])

    # tokens and operations

    def tokens(self) -> list[Json]:
        return list((self._transport.json("GET", "/v1/tokens"))["tokens"])

    def create_token(self, name: str, scopes: list[str]) -> Json:
        """The new token; its secret stands under `token`, in this answer only."""
        body = {"name": name, "scopes": scopes}
        return self._transport.json("POST", "/v1/tokens", repeatable=True, json=body, headers=_once(None))

    def revoke_token(self, token_id: str) -> Json:
        return self._transport.json("DELETE", f"/v1/tokens/{token_id}")

    def serving(self) -> list[Json]:
        """Requests, errors, times and batch sizes of each version since the service was started."""
        return list((self._transport.json("GET", "/v1/serving"))["versions"])

    def workers(self) -> list[Json]:
        """The workers that reported themselves, with queues, slots, devices, job and last sign of life."""
        return list((self._transport.json("GET", "/v1/workers"))["workers"])

    def audit(self) -> Iterator[Json]:
        """Who did what, newest first."""
        for entry in self._transport.pages("/v1/audit", "entries"):
            yield entry

    def drain(self, queue: str | None = None) -> Json:
        """Asks running jobs to go back to the queue, all or those of one queue."""
        params = {} if queue is None else {"queue": queue}
        return self._transport.json("POST", "/v1/drain", params=params)

    def ready(self) -> Json:
        """The state of the service's parts. Raises ApiError (503) while it cannot work."""
        return self._transport.json("GET", "/readyz")


def _once(key: str | None) -> dict[str, str]:
    """The header by which the service knows a request again that comes twice."""
    return {"Idempotency-Key": key or uuid.uuid4().hex}


def _version_path(model: str, version: int | None, label: str | None) -> str:
    if version is not None and label is not None:
        raise ValueError("Name a version or a label, not both.")
    place = f"/versions/{version}" if version is not None else f"/labels/{label}" if label is not None else ""
    return f"/v1/models/{model}{place}"
