"""A job's specification has its type everywhere: no module of the service handles it as a dict of strings."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: A parameter, field or variable of that name that is declared as a dict, or is read by a key.
UNTYPED = re.compile(r"""\b\w*spec(ification)?\s*:\s*(dict|Json|JsonObject|Mapping|Any)\b|\bspec\[["']""")
#: The JSON that the registry stores, as the API shows it; TensorFlow Serving's `model_spec`.
OTHERS = {"app/api/schemas/job.py", "app/api/schemas/model.py", "app/protocols/tensorflow_serving.py"}


def test_no_module_declares_or_reads_a_specification_as_a_dict() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in ("app", "workers")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in OTHERS
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNTYPED.search(line)
    ]
    assert found == []


def test_the_rule_finds_what_it_forbids() -> None:
    assert UNTYPED.search("def run(spec: dict[str, Any]) -> None:")
    assert UNTYPED.search('    train_spec: Json = spec["train"]')
    assert UNTYPED.search("x = spec['data']")
    assert not UNTYPED.search("def run(spec: TrainSpec) -> None:")
