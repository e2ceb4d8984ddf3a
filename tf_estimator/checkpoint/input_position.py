"""The input's position beside a checkpoint, with which a run that was killed continues exactly.

It is the file `model.ckpt-N.resume`, a numpy archive of byte arrays. It is empty where the run ended by itself: the
next one starts its input from the beginning, as `tf.estimator` did. The same holds where there is no such file, because
another program wrote the checkpoint, and where the position is that of another input.
"""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

SUFFIX = ".resume"

log = logging.getLogger(__name__)


def encode(state: Mapping[str, bytes]) -> bytes:
    """The file's content."""
    file = io.BytesIO()
    np.savez(file, **{key: np.frombuffer(value, np.uint8) for key, value in state.items()})  # type: ignore[arg-type]
    return file.getvalue()


def read(prefix: str) -> dict[str, bytes]:
    """The state beside the checkpoint `prefix`; empty if there is none or it can't be read."""
    path = Path(prefix + SUFFIX)
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key].tobytes() for key in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        log.warning("%s can't be read (%s): the input starts from its beginning.", path, error)
        return {}
