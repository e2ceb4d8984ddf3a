"""Calls about models. Made from `async_model_calls.py` by scripts/sync_client.py: change that one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any

from estimator_client.errors import Json
from estimator_client.request_parts import once
from estimator_client.transport import Transport


class ModelCalls:
    """What the client does with models: versions, labels, releases, exports, and what became of predictions."""

    _transport: Transport

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

    def load_version(self, model: str, version: int) -> Json:
        """Loads a version that was only stored, or failed to load; returns before it is there."""
        return self._transport.json("POST", f"/v1/models/{model}/versions/{version}/load")

    def delete_label(self, model: str, label: str, *, dry_run: bool = False) -> Json | None:
        return self._transport.delete(f"/v1/models/{model}/labels/{label}", dry_run)

    def delete_version(self, model: str, version: int, *, dry_run: bool = False) -> Json | None:
        """Deletes a version that no label points to, with its export."""
        return self._transport.delete(f"/v1/models/{model}/versions/{version}", dry_run)

    def delete_model(self, model: str, *, dry_run: bool = False) -> Json | None:
        """Deletes a model without labels, with its versions and their exports."""
        return self._transport.delete(f"/v1/models/{model}", dry_run)

    def delete_export(self, export_id: str, *, dry_run: bool = False) -> Json | None:
        """Deletes an export that is no version."""
        return self._transport.delete(f"/v1/exports/{export_id}", dry_run)

    def create_release(self, model: str, version: int, **plan: Any) -> Json:
        """Begins to bring a version behind a label; `label`, `steps`, `guards` and `by` as in the API."""
        path, body = f"/v1/models/{model}/releases", {"version": version, **plan}
        return self._transport.json("POST", path, repeatable=True, json=body, headers=once(None))

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

    def keep(self, model: str) -> Json:
        """Which requests of a model are kept."""
        return self._transport.json("GET", f"/v1/models/{model}/keep")

    def set_keep(self, model: str, per_mille: int, **more: Any) -> Json:
        """Keeps so many of 1,000 requests; `days`, `bytes` and `redact` as in the API. 0: none."""
        return self._transport.json("PUT", f"/v1/models/{model}/keep", json={"per_mille": per_mille, **more})

    def serving_settings(self, model: str) -> Json:
        """How a model is served: what is set for it, and with the service's settings what is `in_force`."""
        return self._transport.json("GET", f"/v1/models/{model}/serving")

    def set_serving_settings(self, model: str, *, revision: int | None = None, **settings: Any) -> Json:
        """Takes the place of all that was set; what is left out is the service's again.

        Args:
            revision: only while the settings are those of this `revision`; else ApiError (412).
            settings: `batch_rows`, `queue_rows`, `timeout_s`, `memory_bytes`, `priority`, `lanes`, `engine`, as
                in the API.
        """
        headers = {} if revision is None else {"If-Match": f'"{revision}"'}
        return self._transport.json("PUT", f"/v1/models/{model}/serving", json=settings, headers=headers)

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
        return self._transport.json("POST", path, repeatable=True, json=body, headers=once(None))

    def model_evaluations(self, model: str, *, dataset_id: str | None = None) -> list[Json]:
        """What was measured of a model's versions, to compare them."""
        params = {} if dataset_id is None else {"dataset": dataset_id}
        return list((self._transport.json("GET", f"/v1/models/{model}/evaluations", params=params))["evaluations"])

    def download_export(self, model: str, version: int, file: IO[bytes]) -> None:
        """Writes a version's SavedModel to a file, as a tar archive."""
        self._transport.download(f"/v1/models/{model}/versions/{version}/saved_model", file, timeout=None)

    def version_files(self, model: str, version: int, *, valid_s: int = 900) -> Json:
        """Addresses in the object store of a version's files, each with its size and SHA-256, good for `valid_s`
        seconds and without a token. Raises ApiError (409) where artifacts are in no object store."""
        path = f"/v1/models/{model}/versions/{version}/files"
        return self._transport.json("GET", path, params={"valid_s": valid_s})
