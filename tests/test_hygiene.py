"""House rules that a script can check: tests wait for conditions and not for a time; a name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
PRODUCT = ("app", "workers", "tf_estimator", "estimator_client")

#: function → why its pause decides nothing: what is asserted holds however long it lasts
PACED = {
    "http/test_fast_predict.py::test_request_in_pieces_is_answered": "its pieces arrive apart",
    "http/test_fast_predict.py::test_requests_without_waiting_are_answered_in_order": "requests arrive apart",
    "api/test_events.py::run_job": "events are told apart",
    "http/test_admission.py::raw": "pieces of a request arrive apart",
    "estimator/cluster_member.py::part_late": "a chief that gets its last values late",
    "estimator/killed_training.py::_kill": "a training is killed at a random moment",
    "estimator/killed_training.py::after_run": "steps that take some time",
    "estimator/test_estimator.py::first_slow": "a step that takes some time",
    "http/test_connection.py::exchange": "pieces of a request arrive apart",
    "http/test_connection.py::test_offer_to_upgrade_changes_nothing": "head and body arrive apart",
    "registry/test_concurrency.py::write": "commits come in another order than ids, if nothing prevents it",
    "workers/worker/fake_trainer.py::main": "a trainer that hangs or is late",
    "workers/trainer/test_runner.py::slow": "a checkpoint that takes some steps' time to write",
}


def fixed_pauses(tree: ast.AST) -> Iterator[str]:
    """Names of the functions that sleep, but for `while` loops that look at something and `sleep(0)`."""

    def visit(node: ast.AST, function: str, looping: bool) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function, looping = node.name, False
        if isinstance(node, ast.While):
            looping = not (isinstance(node.test, ast.Constant) and not _leaves(node))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep":
            nothing = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if not looping and not nothing:
                yield function
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function, looping)

    yield from visit(tree, "", False)


def _leaves(loop: ast.While) -> bool:
    """Whether an endless loop ends on what it sees."""
    return any(isinstance(node, ast.Break | ast.Return) for node in ast.walk(loop))


def test_no_test_sleeps_for_a_fixed_time_and_hopes() -> None:
    found = {
        f"{path.relative_to(ROOT).as_posix()}::{function}"
        for path in sorted(ROOT.rglob("*.py"))
        for function in fixed_pauses(ast.parse(path.read_text()))
    }
    assert sorted(found - PACED.keys()) == []
    assert sorted(PACED.keys() - found) == []  # what is gone needs no reason any more


#: file → why what it starts may live on for a while when the tests are killed
UNTIED = {
    "api/test_command_line.py": "a client that ends with its connection",
    "client/test_predict_command.py": "a client that ends with its output",
    "estimator/training/test_killed_training.py": "a training of some seconds",
    "estimator/compat/test_v2_off.py": "a program of some seconds",
    "follow.py": "an interpreter that ends with its input",
    "registry/test_concurrency.py": "a program of some seconds",
    "serving/test_service.py": "a parent that is killed itself",
    "test_migrations.py": "migrations of some seconds",
    "test_parent.py": "a parent that is killed itself",
    "workers/service/test_supervisor.py": "a supervisor that is killed itself",
}


def test_what_tests_start_ends_with_them() -> None:
    """Services that nobody ends hold a processor until somebody finds them: see `tests/tied.py`."""
    untied = {
        path.relative_to(ROOT).as_posix()
        for path in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "subprocess.Popen"
        if not ast.unparse(node.args[0]).startswith(("tied(", "started"))
    }
    assert sorted(untied - UNTIED.keys()) == []
    assert sorted(UNTIED.keys() - untied) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f():\n time.sleep(1)\n assert x", ["f"]),
        ("async def f():\n await asyncio.sleep(0.1)", ["f"]),
        ("async def f():\n await asyncio.sleep(0)", []),
        ("def f():\n while not x():\n  time.sleep(0.1)", []),
        ("def f():\n while True:\n  if x(): return\n  time.sleep(0.1)", []),
        ("def f():\n while True:\n  time.sleep(0.1)", ["f"]),
        ("def f():\n for _ in range(3):\n  time.sleep(0.1)", ["f"]),
    ],
)
def test_pauses_are_told_from_waits(code: str, expected: list[str]) -> None:
    assert list(fixed_pauses(ast.parse(code))) == expected


#: Folders whose modules carry the name of the route, body or command that they hold.
NAMED_AFTER_A_NOUN = {"app/api", "app/api/schemas", "estimator_client/cli", "tf_estimator/canned/v1"}
#: module name → why several modules have it
SHARED_MODULE_NAMES = {
    "base": "the base class of the folder: `Head`, `Metric`, `Optimizer`",
    "broker": "`workers.broker` is its name in earlier releases",
    "celery_app": "`celery -A workers.celery_app` is in deployments",
    "errors": "one error tree per distribution",
    "estimator": "`workers.estimator` is the engine's name in earlier releases",
    "version": "one version per distribution",
}
#: class name → why several classes have it
SHARED_CLASS_NAMES = {
    "Estimator": "Polyaxon's builder keeps its own vocabulary",
    "Job": "a row of the registry, and the client's handle of a job",
    "TrainSpec": "`tf.estimator.TrainSpec`, and the specification of a train job",
}


def repeated_names() -> tuple[set[str], set[str]]:
    """Names of modules and of classes that stand in several places of the product."""
    modules, classes = defaultdict(list), defaultdict(list)
    for top in PRODUCT:
        for path in sorted((ROOT.parent / top).rglob("*.py")):
            folder = path.parent.relative_to(ROOT.parent).as_posix()
            if folder not in NAMED_AFTER_A_NOUN and not path.stem.startswith("__"):
                modules[path.stem].append(path)
            if folder != "tf_estimator/canned/v1":
                for node in ast.walk(ast.parse(path.read_text())):
                    if isinstance(node, ast.ClassDef):
                        classes[node.name].append(path)
    return (
        {name for name, paths in modules.items() if len(paths) > 1},
        {name for name, paths in classes.items() if len(paths) > 1},
    )


def test_module_and_class_names_are_distinct() -> None:
    assert repeated_names() == (SHARED_MODULE_NAMES.keys(), SHARED_CLASS_NAMES.keys())


#: Most lines of a function and of a file, of the product and of its tests; migrations are exempt.
LONGEST_FUNCTION, LONGEST_FILE = 60, 400
_SECTIONS = ("Args:", "Attributes:", "Raises:", "Returns:", "Yields:")


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Path and syntax tree of each file of the project."""
    for top in (*PRODUCT, "tests", "benchmarks", "scripts"):
        for path in sorted((ROOT.parent / top).rglob("*.py")):
            yield path.relative_to(ROOT.parent).as_posix(), ast.parse(path.read_text())


def test_functions_are_short_and_docstrings_begin_with_a_summary() -> None:
    long, bare = [], []
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{path} {node.name}: {lines} lines")
            documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if documented and (ast.get_docstring(node) or "").startswith(_SECTIONS):
                bare.append(f"{path} {getattr(node, 'name', '')}")
    assert (long, bare) == ([], [])


def test_files_are_short() -> None:
    folders = (*PRODUCT, "tests", "benchmarks", "scripts")
    lines = {
        path.relative_to(ROOT.parent).as_posix(): path.read_text().count("\n")
        for folder in folders
        for path in (ROOT.parent / folder).rglob("*.py")
    }
    assert {path: count for path, count in lines.items() if count > LONGEST_FILE} == {}


def test_module_docstrings_begin_with_a_noun() -> None:
    clauses = ("What ", "Who ", "Which ", "How ", "Where ", "When ")
    assert [
        path
        for path, tree in sources()
        if path.startswith(PRODUCT) and (ast.get_docstring(tree) or "").startswith(clauses)
    ] == []
