"""MLflow's scoring server, one worker: `mlflow_service.py PORT`. It answers on /invocations and makes no batches."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import mlflow


class Predictor(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined, unused-ignore]
    def load_context(self, context: Any) -> None:
        from row_model import RowModel  # not where the model is only put down as a file

        self.model = RowModel()

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # types would be a schema
        return self.model.columns(model_input)


if __name__ == "__main__":
    place = Path(os.environ["EXPORTS"]) / f"mlflow-{os.environ['MODEL']}"
    mlflow.pyfunc.save_model(place, python_model=__file__, pip_requirements=[])
    serve = ["models", "serve", "-m", str(place), "-h", "127.0.0.1", "-p", sys.argv[1], "-w", "1"]
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it runs uvicorn
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *serve, "--env-manager", "local"])
else:
    mlflow.models.set_model(Predictor())
