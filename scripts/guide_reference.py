"""The site's reference of routes, from docs/openapi.json, and of the command line, from the command line itself."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).resolve().parents[1]
_METHODS = ("get", "post", "put", "delete")


def pages() -> dict[str, str]:
    """Page of the site → its text."""
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    return {"reference/api.md": api(document), "reference/command-line.md": command_line()}


def api(document: dict[str, Any]) -> str:
    """Every route: what it does, its parameters, the fields of its body, its answers."""
    parts = [
        "# Routes\n",
        "From the [OpenAPI document](../openapi.json), which the service shows at `/docs`, where each can be tried. "
        "`Authorization: Bearer TOKEN` goes with every request that names a scope. Errors are "
        "`application/problem+json` with `title`, `detail` and, for wrong fields, `errors`. Every "
        "route may answer these:\n",
    ]
    usual = _usual_answers(document)
    parts.append(_table(("status", "means"), sorted(usual)))
    for tag in document["tags"]:
        parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}\n")
        for path, methods in document["paths"].items():
            for method in _METHODS:
                operation = methods.get(method)
                if operation and tag["name"] in operation.get("tags", []):
                    parts.append(_route(document, path, method, operation, usual))
    return "\n".join(parts)


def _usual_answers(document: dict[str, Any]) -> set[tuple[str, str]]:
    """Statuses and their meaning that more than half of the routes have."""
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    counted = Counter(answer for operation in operations for answer in _answers(operation))
    return {answer for answer, count in counted.items() if count > len(operations) / 2 and answer[0] >= "4"}


def _answers(operation: dict[str, Any]) -> list[tuple[str, str]]:
    return [(status, answer.get("description", "")) for status, answer in operation["responses"].items()]


def _route(
    document: dict[str, Any], path: str, method: str, operation: dict[str, Any], usual: set[tuple[str, str]]
) -> str:
    parts = [f"### `{method.upper()} {path}`\n", f"{operation.get('description') or operation['summary']}\n"]
    rows = [
        (f"`{one['name']}`", one["in"], type_name(one["schema"]), one.get("description", ""))
        for one in operation.get("parameters", [])
    ]
    parts.append(_table(("parameter", "in", "type", "means"), rows))
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = resolve(document, content["schema"])
        if "oneOf" in schema:
            names = [type_name(one) for one in schema["oneOf"]]
            parts.append(f"Body (`{kind}`): {', '.join(names)}; [all fields](../jobs.md).\n")
            continue
        needed = schema.get("required", [])
        fields = [
            (f"`{name}`", "yes" if name in needed else "", type_name(one), one.get("description", ""))
            for name, one in schema.get("properties", {}).items()
        ]
        parts += [f"Body: `{kind}`.\n", _table(("field", "needed", "type", "means"), fields)]
    parts.append(_table(("status", "means"), [answer for answer in _answers(operation) if answer not in usual]))
    return "\n".join(part for part in parts if part)


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that a `$ref` names; any other as it is."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def type_name(schema: dict[str, Any]) -> str:
    """A schema's type in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if choices := schema.get("enum"):
        return " or ".join(f"`{json.dumps(one)}`" for one in choices)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(type_name(one) for one in schema[key]))
    if schema.get("type") == "array":
        return f"list of {type_name(schema.get('items', {}))}"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    return str(schema.get("type", "any"))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(_cell(text) for text in row) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


def command_line() -> str:
    """Every command: what it does, its arguments and options."""
    from estimator_client.cli.root import app

    root: Any = typer.main.get_command(app)
    parts = [
        "# Commands, one by one\n",
        "What `--help` says. [Command line](../cli.md) says which service is asked, and the exit statuses.\n",
    ]
    with typer.Context(root, info_name="estimator-service") as context:
        parts.append("## Options of every command\n\n" + _options(root, context))
        for name, command in root.commands.items():
            inner = getattr(command, "commands", None)
            for full, one in ({f"{name} {sub}": it for sub, it in inner.items()} if inner else {name: command}).items():
                with typer.Context(one, info_name=full, parent=context) as own:
                    parts.append(_command(full, one, own))
    return "\n".join(parts)


def _command(name: str, command: Any, context: typer.Context) -> str:
    usage = " ".join(command.collect_usage_pieces(context))
    text = f"## `{name}`\n\n```text\nestimator-service {name} {usage}\n```\n\n{_help(command.help)}\n\n"
    return text + _options(command, context)


def _options(command: Any, context: typer.Context) -> str:
    rows = []
    for parameter in command.get_params(context):
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        names = (
            [(parameter.metavar or parameter.name).upper()]
            if parameter.param_type_name == "argument"
            else parameter.opts
        )
        default = parameter.default
        shown = f"`{default}`" if default not in (None, False, "", ()) and not callable(default) else ""
        joined = ", ".join(f"`{name}`" for name in [*names, *parameter.secondary_opts])
        rows.append((joined, _help(getattr(parameter, "help", "")), shown))
    return _table(("argument or option", "means", "default"), rows)


def _help(text: str | None) -> str:
    """Help text without the command line's own markup for colours."""
    return re.sub(r"\[/?[a-z ]+\]", "", (text or "").replace("\b", "")).strip()
