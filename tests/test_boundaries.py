"""Who may import whom. Read from the files' own imports (also those inside functions), and seen in a real start."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: package → (what it may import of ours, what it never imports); the longest matching package counts
RULES: dict[str, tuple[set[str], set[str]]] = {
    "workers.estimator": ({"workers.estimator"}, {"fastapi", "celery", "sqlalchemy", "pydantic", "app"}),
    "app.errors": (set(), {"fastapi", "celery", "sqlalchemy", "tensorflow"}),
    "app.memory": (set(), {"fastapi", "celery", "sqlalchemy", "tensorflow"}),
    "app.parent": (set(), {"fastapi", "celery", "sqlalchemy", "tensorflow"}),
    "app.ids": (set(), {"fastapi", "celery", "sqlalchemy", "tensorflow"}),
    "app.jobs": ({"app.jobs", "app.errors", "app.ids"}, {"fastapi", "celery", "sqlalchemy", "tensorflow"}),
    "app.serving": ({"app.serving", "app.errors", "app.memory", "app.parent"}, {"celery", "fastapi", "sqlalchemy"}),
    "app.registry": (
        {"app.registry", "app.jobs", "app.errors", "app.ids", "app.storage", "app.config"},
        {"fastapi", "celery", "tensorflow"},
    ),
    "app.datasets": ({"app.datasets", "app.jobs", "app.errors", "app.storage"}, {"fastapi", "celery", "tensorflow"}),
    "app.api": ({"app"}, {"celery", "tensorflow"}),
    "app": ({"app"}, {"tensorflow"}),
    "workers": (
        {
            "workers",
            "app.config",
            "app.errors",
            "app.ids",
            "app.jobs",
            "app.registry",
            "app.datasets",
            "app.storage",
            "app.queue",
            "app.log",
            "app.memory",
            "app.parent",
        },
        {"fastapi"},
    ),
}
#: the modules of app.serving that run in the predictor process may import tensorflow
TENSORFLOW_IN_SERVING = {"app.serving.predictor", "app.serving.loaded", "app.serving.saved_model"}
OURS = ("app", "workers", "migrations")


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


FILES = [path for top in ("app", "workers") for path in sorted((ROOT / top).rglob("*.py"))]


def test_imports_follow_the_table() -> None:
    wrong = []
    for path in FILES:
        module = module_name(path)
        imported = imports_of(path)
        wrong += violations(module, imported)
        uses_tensorflow = within("tensorflow", imported) or any(
            within(name, {"tensorflow", "keras"}) for name in imported
        )
        if module.startswith("app.serving") and uses_tensorflow and module not in TENSORFLOW_IN_SERVING:
            wrong.append(f"{module} imports tensorflow outside the predictor process")
        if module.startswith("workers.") and within("app.api", imported):
            wrong.append(f"{module} imports app.api")
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("workers.estimator.loop", "app.config"),
        ("workers.runner", "app.main"),
        ("workers.runner", "app.serving.front"),
        ("app.serving.front", "app.registry.db"),
        ("app.jobs.spec", "sqlalchemy"),
        ("app.api.jobs", "tensorflow.data"),
    ],
)
def test_a_forbidden_import_is_seen(module: str, imported: str) -> None:
    assert violations(module, {imported}) != []


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_api_starts_without_tensorflow() -> None:
    assert loaded_after("import app.main").isdisjoint({"tensorflow", "keras", "workers"})


def test_engine_starts_without_the_service() -> None:
    loaded = loaded_after("import workers.estimator")
    assert "tensorflow" in loaded
    assert loaded.isdisjoint({"fastapi", "celery", "sqlalchemy", "pydantic", "app"})


def test_celery_worker_starts_without_tensorflow() -> None:
    assert loaded_after("import workers.celery_app, workers.tasks, workers.reconciler, workers.service").isdisjoint(
        {"tensorflow", "keras", "fastapi"}
    )
