"""Alert rules, by Prometheus' own tool; and that the service has what they ask for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import RunningService

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"
PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool, of Debian's package prometheus")
@pytest.mark.parametrize("arguments", [("check", "rules", "rules.yaml"), ("test", "rules", "rules_test.yaml")])
def test_rules_pass_their_tests(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [str(PROMTOOL), *arguments], cwd=DEPLOY, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_to_do_and_has_a_test() -> None:
    (group,) = yaml.safe_load((DEPLOY / "rules.yaml").read_text())["groups"]
    tests = yaml.safe_load((DEPLOY / "rules_test.yaml").read_text())["tests"]
    tested = {case["alertname"] for test in tests for case in test["alert_rule_test"]}
    for rule in group["rules"]:
        assert {"summary", "action"} <= set(rule["annotations"])
    assert {rule["alert"] for rule in group["rules"]} == tested


def test_metrics_of_the_rules_are_those_of_the_service(service: RunningService) -> None:
    (group,) = yaml.safe_load((DEPLOY / "rules.yaml").read_text())["groups"]
    names = r"\b(?:serving_\w+|jobs|queue_depth)\b"
    asked = {name for rule in group["rules"] for name in re.findall(names, rule["expr"])}
    answer = service.http.get("/metrics")
    declared = set(re.findall(r"^# TYPE (\S+)", answer.text, re.MULTILINE))
    assert asked
    assert asked <= declared | {f"{name}_bucket" for name in declared}, asked - declared
