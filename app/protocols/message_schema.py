"""Protobuf messages from a table of their fields: what a protocol says on the wire, without generated code.

A schema has a descriptor pool of its own, so that messages may have the names that TensorFlow's own code registers in
the same process. A line of the table is one of

    package NAME              messages that follow belong to it
    message NAME              fields that follow belong to it; dots for a message inside another
    enum NAME                 values that follow belong to it; dots as above
    values A=0 B=1 …
    NUMBER [repeated] TYPE FIELD        TYPE is a scalar, `map<string,TYPE>`, or a message or enum by its full name
    NUMBER TYPE FIELD oneof CHOICE
    service NAME              methods that follow belong to it
    rpc NAME REQUEST ANSWER   a type with `*` behind it comes any number of times
"""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int64": _Field.TYPE_INT64,
    "uint64": _Field.TYPE_UINT64,
    "int32": _Field.TYPE_INT32,
    "uint32": _Field.TYPE_UINT32,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
_IMPORTED = (any_pb2, wrappers_pb2)


class MessageSchema:
    """The messages of a table, in a pool of their own.

    Args:
        table: as this module's docstring says.
        raw: full names of fields whose packed numbers are left as they stand in the message: repeated numbers in one
            piece are bytes on the wire, and numpy reads and writes those at once.
    """

    def __init__(self, table: str, *, raw: frozenset[str] = frozenset()) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        self._raw = raw
        for module in _IMPORTED:
            self.pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        names: list[str] = [module.DESCRIPTOR.name for module in _IMPORTED]
        for block in table.split("package ")[1:]:
            package, _, lines = block.partition("\n")
            file = descriptor_pb2.FileDescriptorProto(
                name=f"{package.strip().replace('.', '/')}.proto", package=package.strip(), syntax="proto3"
            )
            file.dependency.extend(names)
            self._fill(file, lines)
            self.pool.AddSerializedFile(file.SerializeToString())
            names.append(file.name)

    def message(self, name: str) -> Any:
        """The class of a message by its full name."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def _fill(self, file: Any, lines: str) -> None:
        enums = {word for line in lines.splitlines() if line.startswith("enum ") for word in line.split()[1:2]}
        message: Any = None
        enum: Any = None
        service: Any = None
        for line in lines.splitlines():
            kind, *words = line.split() or [""]
            if kind == "message":
                message = _nested(file, words[0])
            elif kind == "enum":
                outer, _, name = words[0].rpartition(".")
                enum = (_found(file, outer) if outer else file).enum_type.add(name=name)
            elif kind == "values":
                for word in words:
                    name, _, number = word.partition("=")
                    enum.value.add(name=name, number=int(number))
            elif kind == "service":
                service = file.service.add(name=words[0])
            elif kind == "rpc":
                name, asked, answered = words
                service.method.add(
                    name=name,
                    input_type=f".{asked.rstrip('*')}",
                    output_type=f".{answered.rstrip('*')}",
                    client_streaming=asked.endswith("*"),
                    server_streaming=answered.endswith("*"),
                )
            elif kind:
                self._add_field(file, message, int(kind), words, enums)

    def _add_field(self, file: Any, message: Any, number: int, words: list[str], enums: set[str]) -> None:
        repeated = words[0] == "repeated"
        kind, name, *choice = words[1:] if repeated else words
        field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
        if kind.startswith("map<"):
            entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
            entry.options.map_entry = True
            for at, (part, of) in enumerate(zip(("key", "value"), kind[4:-1].split(","), strict=True), 1):
                _set_type(entry.field.add(name=part, number=at, label=_Field.LABEL_OPTIONAL), of, file.package, enums)
            place = f".{file.package}.{_path(file, message)}.{entry.name}"
            field.type, field.type_name, field.label = _Field.TYPE_MESSAGE, place, _Field.LABEL_REPEATED
            return
        if f"{file.package}.{message.name}.{name}" in self._raw:
            kind = "bytes"
        _set_type(field, kind, file.package, enums)
        if repeated:
            field.label = _Field.LABEL_REPEATED
        if choice:
            names = [one.name for one in message.oneof_decl]
            if choice[1] not in names:
                message.oneof_decl.add(name=choice[1])
                names.append(choice[1])
            field.oneof_index = names.index(choice[1])


def _nested(file: Any, name: str) -> Any:
    """The message of a dotted name, made where it stands."""
    outer, _, last = name.rpartition(".")
    return (_found(file, outer).nested_type if outer else file.message_type).add(name=last)


def _found(file: Any, name: str) -> Any:
    """A message that is there, by its dotted name."""
    place, found = file.message_type, None
    for part in name.split("."):
        found = next(message for message in place if message.name == part)
        place = found.nested_type
    return found


def _path(file: Any, message: Any) -> str:
    """Name of a message within its package."""
    for outer in file.message_type:
        if outer is message or outer == message:
            return str(outer.name)
        if any(inner == message for inner in outer.nested_type):
            return f"{outer.name}.{message.name}"
    raise ValueError(message.name)


def _set_type(field: Any, kind: str, package: str, enums: set[str]) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        is_enum = kind.startswith(f"{package}.") and kind.removeprefix(f"{package}.") in enums
        field.type = _Field.TYPE_ENUM if is_enum else _Field.TYPE_MESSAGE
        field.type_name = f".{kind}"
