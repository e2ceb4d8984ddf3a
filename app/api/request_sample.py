"""A prediction that works, as a request body, a curl command and Python."""

from __future__ import annotations

import json
import shlex
from typing import Any

from app.api.schemas.model import RequestSample


def request_sample(base_url: str, model: str, version: int, metadata: dict[str, Any]) -> RequestSample | None:
    """How the version that `metadata` describes is asked, with the first example row that its export brought.

    Args:
        base_url: where the caller reaches this service.
    """
    if not metadata["examples"]:
        return None
    path = f"/v1/models/{model}/versions/{version}:predict"
    row = metadata["examples"][0]
    body = {"instances": [row]}
    address = base_url.rstrip("/")
    curl = (
        f"curl {shlex.quote(address + path)} -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' "
        f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
    )
    python = (
        "import os\n\nfrom estimator_client import Client\n\n"
        f'with Client({address!r}, os.environ["TOKEN"]) as client:\n'
        f"    print(client.predict({model!r}, [{row!r}], version={version}))"
    )
    return RequestSample(path=path, body=body, curl=curl, python=python)
