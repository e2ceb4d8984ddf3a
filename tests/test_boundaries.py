"""Who may import whom. Read from the files' own imports (also those inside functions), and seen in a real start."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

_SERVICE = {"fastapi", "celery", "sqlalchemy", "tensorflow"}
_LEAVES = {
    "app.errors",
    "app.ids",
    "app.process",
    "app.lean_imports",
    "app.private_files",
    "app.digest",
    "app.host_table",
    "app.strict_json",
    "app.json_pointer",
    "app.version",
}
_WORKER = {
    "workers",
    "app.config",
    "app.jobs",
    "app.registry",
    "app.releases",
    "app.datasets",
    "app.storage",
    "app.object_store",
    "app.artifact_store",
    "app.queue",
    "app.log",
    "app.traces",
}

#: Modules of the engine that every part of it may import.
ENGINE_LEAVES = (
    "checks cluster errors estimator_spec eval_events export_output keys model_fn run_config tensorflow_import "
    "variables version"
)

#: Part of the engine → the parts of it that it may import beside the leaves, from the ground up.
ENGINE = {
    "distribution": "",
    "graph": "distribution",
    "inputs": "distribution graph",
    "loop": "graph inputs",
    "checkpoint": "",
    "training": "checkpoint distribution graph inputs loop",
    "export": "checkpoint graph",
    "optimizer": "distribution",
    "metrics": "optimizer",
    "feature_column": "graph",
    "recurrent": "",
    "head": "distribution metrics optimizer",
    "canned": "estimator feature_column graph head metrics optimizer recurrent",
    "hooks": "checkpoint estimator graph training",
    "compat": "canned checkpoint distribution early_stopping estimator export feature_column graph head hooks inputs "
    "metrics optimizer recurrent train_and_evaluate training",
    "doctor": "checkpoint",
    "estimator": "checkpoint distribution export graph inputs training",
    "train_and_evaluate": "estimator export",
    "early_stopping": "checkpoint estimator hooks",
}

#: package → (what it may import of ours, what it never imports); the longest matching package counts
RULES: dict[str, tuple[set[str], set[str]]] = {
    "tf_estimator": ({"tf_estimator"}, _SERVICE - {"tensorflow"} | {"pydantic", "httpx", "msgspec", "structlog"}),
    "estimator_client": ({"estimator_client"}, _SERVICE | {"pydantic", "structlog"}),
    "app.errors": (set(), _SERVICE),
    "app.ids": (set(), _SERVICE),
    "app.process": (set(), _SERVICE),
    "app.private_files": (set(), _SERVICE),
    "app.digest": (set(), _SERVICE),
    "app.host_table": (set(), _SERVICE),
    "app.version": (set(), _SERVICE),
    "app.strict_json": ({"app.errors"}, _SERVICE),
    "app.json_pointer": (set(), _SERVICE),
    "app.jobs": ({"app.jobs", *_LEAVES}, _SERVICE),
    "app.releases": ({"app.releases"}, _SERVICE),
    "app.datasets": ({"app.datasets", "app.jobs", "app.storage", *_LEAVES}, {"fastapi", "celery", "tensorflow"}),
    "app.storage": (_LEAVES, _SERVICE),
    "app.object_store": ({"app.object_store", "app.storage", *_LEAVES}, _SERVICE),
    "app.registry": (
        {"app.registry", "app.jobs", "app.releases", "app.storage", "app.config", *_LEAVES},
        {"fastapi", "celery", "tensorflow"},
    ),
    "app.serving": ({"app.serving", "app.releases", *_LEAVES}, _SERVICE - {"tensorflow"}),
    "app.serving.predictor": ({"app.serving", "app.protocols.warm_up_records", *_LEAVES}, _SERVICE - {"tensorflow"}),
    "app.http": ({"app.http", "app.serving", "app.registry", "app.config", "app.traces", *_LEAVES}, _SERVICE),
    "app.traces": ({"app.config"}, _SERVICE),
    "app.http.predict_app": ({"app.http", "app.serving", *_LEAVES}, _SERVICE),
    "app.http2": ({"app.http2"}, _SERVICE),
    "app.protocols": ({"app.protocols", "app.http2", "app.http", "app.serving", "app.config", *_LEAVES}, _SERVICE),
    "app.lanes": ({"app.lanes", "app.serving", "app.config", "app.log", *_LEAVES}, _SERVICE),
    "app.lanes.nursery": ({"app"}, {"tensorflow"}),
    "app.lanes.lane": ({"app"}, {"tensorflow"}),
    "app.api": ({"app"}, {"celery", "tensorflow"}),
    "app": ({"app"}, {"tensorflow"}),
    "workers.worker": (
        {"workers.worker", "workers.memory", "workers.attempt", *_WORKER, *_LEAVES},
        {"fastapi", "tensorflow"},
    ),
    "workers.on_ray": (
        {"workers.on_ray", "workers.worker", *_WORKER, *_LEAVES} - {"workers"},
        {"fastapi", "celery", "tensorflow"},
    ),
    # whether forks are possible; what its parts import as well is imported by name
    "workers.service": (
        {"workers.service", "app.serving.forkserver", *_WORKER, *_LEAVES} - {"workers"},
        {"fastapi", "tensorflow"},
    ),
    "workers.fork_server": ({"app.serving.predictor", "tf_estimator", *_WORKER, *_LEAVES}, {"fastapi"}),
    "workers.estimator_json": (
        {
            "workers.estimator_json",
            "tf_estimator",
            "app.jobs",
            "app.registry.model_fn_catalogue",
            "app.registry.db",
            *_LEAVES,
        },
        {"fastapi", "celery"},
    ),
    "workers": ({"tf_estimator", *_WORKER, *_LEAVES}, {"fastapi"}),
}
RULES |= {
    f"tf_estimator.{part}": (
        {f"tf_estimator.{name}" for name in [part, *allowed.split(), *ENGINE_LEAVES.split()]},
        RULES["tf_estimator"][1],
    )
    for part, allowed in ENGINE.items()
}
#: The predictor process is the one place of app.serving that may import tensorflow.
TENSORFLOW_IN_SERVING = "app.serving.predictor"
OURS = ("app", "workers", "migrations", "tf_estimator", "estimator_client")


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Every module that the file imports, as a dotted name; `from a import b` counts as a and a.b."""
    found = set()
    module = module_name(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def rule_for(module: str) -> tuple[set[str], set[str]]:
    matching = [package for package in RULES if within(module, {package})]
    return RULES[max(matching, key=len)]


def violations(module: str, imported: set[str]) -> list[str]:
    allowed, never = rule_for(module)
    wrong = []
    for name in sorted(imported):
        top = name.split(".")[0]
        # `from app import ids` is seen as both `app` and `app.ids`: the bare parent says nothing
        if top in OURS and name not in OURS and not within(name, allowed | {module}):
            is_member_of_allowed = any(within(package, {name}) for package in allowed)
            if not is_member_of_allowed:
                wrong.append(f"{module} imports {name}")
        if within(name, never):
            wrong.append(f"{module} imports {name}")
    return wrong


ENGINE_FILES = sorted((ROOT / "tf_estimator").rglob("*.py"))
FILES = [path for top in OURS if top != "migrations" for path in sorted((ROOT / top).rglob("*.py"))]


def test_imports_follow_the_table() -> None:
    wrong = []
    for path in FILES:
        module = module_name(path)
        imported = imports_of(path)
        wrong += violations(module, imported)
        uses_tensorflow = within("tensorflow", imported) or any(
            within(name, {"tensorflow", "keras"}) for name in imported
        )
        if module.startswith("app.serving") and uses_tensorflow and not within(module, {TENSORFLOW_IN_SERVING}):
            wrong.append(f"{module} imports tensorflow outside the predictor process")
        if module.startswith("workers.") and within("app.api", imported):
            wrong.append(f"{module} imports app.api")
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("tf_estimator.loop.functions", "app.config"),
        ("tf_estimator.graph.tracing", "tf_estimator.inputs.source"),
        ("tf_estimator.checkpoint.files", "tf_estimator.training.saver"),
        ("tf_estimator.export.serving", "tf_estimator.estimator"),
        ("workers.trainer.runner", "app.main"),
        ("workers.trainer.runner", "app.http.predict_app"),
        ("app.http.predict_app", "app.registry.db"),
        ("app.jobs.parse", "sqlalchemy"),
        ("app.api.jobs", "tensorflow.data"),
    ],
)
def test_a_forbidden_import_is_seen(module: str, imported: str) -> None:
    assert violations(module, {imported}) != []


def test_engine_folders_say_what_they_may_import() -> None:
    folders = {path.parent.name for path in (ROOT / "tf_estimator").glob("*/__init__.py")}
    assert folders <= set(ENGINE)
    for folder in folders:
        docstring = ast.get_docstring(ast.parse((ROOT / "tf_estimator" / folder / "__init__.py").read_text())) or ""
        sentence = re.search(
            r"May import of the engine's folders: (.*?)\.\s+Start\s+with\s+`(.*?)`\.", docstring, re.DOTALL
        )
        assert sentence is not None, folder
        assert set(re.findall(r"`(\w+)`", sentence[1])) == set(ENGINE[folder].split()), folder
        assert (ROOT / "tf_estimator" / folder / sentence[2]).is_file(), folder


def test_engine_has_no_circle_and_few_modules_beside_its_folders() -> None:
    parts = {path.relative_to(ROOT / "tf_estimator").parts[0].removesuffix(".py") for path in ENGINE_FILES}
    imported: dict[str, set[str]] = {part: set() for part in parts}
    for path in ENGINE_FILES:
        part = path.relative_to(ROOT / "tf_estimator").parts[0].removesuffix(".py")
        names = {name.split(".")[1] for name in imports_of(path) if name.startswith("tf_estimator.")}
        imported[part] |= names & parts - {part}
    del imported["__init__"]
    left = set(imported)
    while left:
        free = {part for part in left if not imported[part] & left}
        assert free, f"These import one another in a circle: {sorted(left)}"
        left -= free
    assert set(ENGINE) <= parts
    assert len([path for path in ENGINE_FILES if path.parent.name == "tf_estimator"]) <= 16  # 15 and __init__


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_api_starts_without_tensorflow() -> None:
    assert loaded_after("import app.main").isdisjoint({"tensorflow", "keras", "workers", "opentelemetry.sdk"})


def test_serving_parent_imports_the_api_for_its_forks_only() -> None:
    heavy = {"fastapi", "starlette", "uvicorn", "sqlalchemy", "celery", "grpc", "tensorflow"}
    assert loaded_after("import app.lanes.parent").isdisjoint(heavy)


def test_engine_starts_without_the_service() -> None:
    # TensorFlow first, as most programs have it: what both made then is not looked at for garbage either
    loaded = loaded_after("import gc, tensorflow\nimport tf_estimator\nassert gc.get_freeze_count() > 100_000")
    assert "tensorflow" in loaded
    assert loaded.isdisjoint({"fastapi", "celery", "sqlalchemy", "pydantic", "app"})


def test_celery_worker_starts_without_tensorflow() -> None:
    assert loaded_after(
        "import workers.celery_app, workers.worker.tasks, workers.reconciler, workers.service.supervisor"
    ).isdisjoint({"tensorflow", "keras", "fastapi"})
