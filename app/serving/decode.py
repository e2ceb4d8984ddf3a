"""A request's body as rows, checked instance by instance before anything is batched.

Two ways to the same rows. The typed one: msgspec decodes `{"instances": [{…}, …]}` straight into row structs, at about
0.3 µs a row, and takes only what is certainly right. Whatever it does not take goes the careful way, which knows all
forms of TensorFlow Serving's REST API and words the errors. The typed decoder does not notice a key that stands twice;
the number of colons can: with every feature present there is one a key, more only inside strings or for doubled keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.errors import InvalidInput, NotFound, TooLarge, quote_name
from app.serving.export_description import ExportDescription, InputFeature, Signature, inputs_of
from app.serving.feature_values import ABSENT, FLOAT32_LIMIT, INT64_MAX, INT64_MIN, BadValue, checked, stand_in, wrong
from app.serving.field_names import can_be_fields
from app.serving.notes import Notes, Warned
from app.serving.packing import Row, RowPacker
from app.serving.protocol import Column, Form
from app.serving.verbs import VERBS
from app.strict_json import JsonLimits, read_json

DEFAULT_SIGNATURE = VERBS["predict"].signature
_EXAMPLE_CHARACTERS = 600
MOST_CELLS = 2**24
"""Rows times longest sequence, of one request: the predictor pads all rows to the longest."""
LIMITS = JsonLimits(values=2**23, containers=2**21)
"""Of a large body; a small one cannot have as many."""
_BYTES_A_VALUE = 4  # of a serialized example, about
_OPTIONS = ("ignore_unknown", "warnings")
_IGNORE = 'Leave it out, or send "ignore_unknown": true beside the instances.'
_TYPES: dict[str, Any] = {
    "float32": Annotated[float, Meta(gt=-FLOAT32_LIMIT, lt=FLOAT32_LIMIT)],
    "int64": Annotated[int, Meta(ge=INT64_MIN, le=INT64_MAX)],
    "string": str,
}


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A valid request.

    Attributes:
        longest: length of its longest sequence, 0 without sequences. Of serialized examples it is a guess.
        count: number of rows.
        packed: the rows as MessagePack of their columns, for a request that another process decoded; `rows` is empty
            then.
        columns: the rows as the packer lays them out, for a request that came as tensors; `rows` is empty then.
        warnings: what was done with unusual values; None when the request asks for no warnings.
    """

    signature: str
    form: Form
    rows: list[Row]
    longest: int
    count: int
    packed: msgspec.Raw | None = None
    warnings: list[Warned] | None = None
    columns: list[Column] | None = None


class Decoder:
    """Decodes the requests for one version.

    Args:
        max_rows: most instances of one request.
    """

    def __init__(self, export: ExportDescription, *, max_rows: int) -> None:
        self.export = export
        self.max_rows = max_rows
        self.packers = {name: RowPacker(inputs_of(export, signature)) for name, signature in export.signatures.items()}
        self._row = _row_type(export.features)
        self._sequences = [i for i, feature in enumerate(export.features) if feature.sequence]
        self._typed = msgspec.json.Decoder(_body_type(self._row))
        self._colons = len(export.features)
        self._stand_ins = [None if f.missing is None else stand_in(f) for f in export.features]
        self._typed_signatures = {
            name
            for name, signature in export.signatures.items()
            if signature.input == "features" and can_be_fields(feature.name for feature in export.features)
        }
        self._bytes_row = _row_type(inputs_of(export, Signature(method="predict", outputs=[], input="examples")))

    def decode(self, verb: str, body: bytes) -> Decoded:
        """The rows of a request body, checked against the features of the model.

        Args:
            verb: predict, classify or regress.

        Raises:
            InvalidInput: naming instance, feature and what is expected.
            NotFound: no such signature.
            TooLarge: too many instances, or too many values once sequences are padded.
        """
        decoded = self.decode_typed(verb, body)
        if decoded is not None:
            return decoded
        return self.decode_carefully(verb, body)

    def decode_carefully(self, verb: str, body: bytes) -> Decoded:
        """A request that `decode_typed` does not take. Raises as `decode` does."""
        return self._carefully(verb, read_json(body, finite=False, characters=False, limits=None))

    def decode_typed(self, verb: str, body: bytes) -> Decoded | None:
        """The request, when the typed decoder takes it; None when `decode` has to look. Raises TooLarge."""
        if verb != "predict":
            return None
        try:
            request = self._typed.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        rows = request.instances
        name = request.signature_name
        top = 1 if name is None else 2
        name = name or DEFAULT_SIGNATURE
        if body.count(b":") != top + len(rows) * self._colons or name not in self._typed_signatures or not rows:
            return None
        if b"null" in body:
            self._fill(rows)
        return self.decoded(name, Form.ROW, rows)

    def rows(self, signature: str, instances: list[dict[str, Any]]) -> list[Row]:
        """Instances in row form, already parsed, as rows. Raises as `decode` does."""
        return self._instances(signature, instances, Notes(wanted=False, ignore_unknown=False))

    def rows_of_examples(self, signature: str, examples: list[dict[str, Any]]) -> list[Row]:
        """The values of `tf.Example`s by feature, each a list. Raises as `decode` does."""
        self.check_count(len(examples))
        notes = Notes(wanted=False, ignore_unknown=True)
        features = self._inputs(signature)
        return [self._checked(signature, features, example, i, "examples", notes) for i, example in enumerate(examples)]

    def decoded(self, signature: str, form: Form, rows: list[Row], notes: Notes | None = None) -> Decoded:
        """A request of valid rows. Raises TooLarge."""
        if len(rows) > self.max_rows:
            raise TooLarge(f"The request has {len(rows)} instances; the most is {self.max_rows}. Send it in parts.")
        longest = self._longest(signature, rows) if self._sequences else 0
        if longest and longest * len(rows) > MOST_CELLS:
            raise TooLarge(
                f"The request has {len(rows)} instances and a sequence of about {longest} values; padded to the longest"
                f" that is more than {MOST_CELLS}. Send long sequences apart from short ones, or the request in parts."
            )
        return Decoded(signature, form, rows, longest, len(rows), None, None if notes is None else notes.warnings)

    def _longest(self, signature: str, rows: list[Row]) -> int:
        if self.export.signatures[signature].input == "examples":
            return self.longest_of_examples([row.f0 for row in rows])
        return max((len(getattr(row, f"f{i}")) for i in self._sequences for row in rows), default=0)

    def longest_of_examples(self, serialized: Sequence[Any]) -> int:
        """A guess at the longest sequence that serialized examples hold; 0 for a model without sequences."""
        return max(map(len, serialized), default=0) // _BYTES_A_VALUE if self._sequences else 0

    def _fill(self, rows: list[Row]) -> None:
        for row in rows:
            values = msgspec.structs.astuple(row)
            if None in values:
                for i, value in enumerate(values):
                    if value is None:
                        setattr(row, f"f{i}", self._stand_ins[i])

    def _carefully(self, verb: str, body: Any) -> Decoded:
        if not isinstance(body, dict):
            raise InvalidInput("The body has to be a JSON object. " + self.example(verb))
        keys = {"instances", "inputs"} if verb == "predict" else {"examples", "context"}
        unknown = body.keys() - keys - {"signature_name", *_OPTIONS}
        if unknown:
            raise InvalidInput(f"Unknown key {quote_name(min(unknown))} in the body. {self.example(verb)}")
        name = self._signature(verb, body.get("signature_name"))
        for option in _OPTIONS:
            if not isinstance(body.get(option, False), bool):
                raise InvalidInput.at(f"/{option}", f"{option} has to be true or false.")
        notes = Notes(body.get("warnings", False), body.get("ignore_unknown", False))
        if verb != "predict":
            return self.decoded(name, VERBS[verb].form, self._examples(name, body, notes), notes)
        if ("instances" in body) == ("inputs" in body):
            raise InvalidInput('The body needs either "instances" or "inputs". ' + self.example(verb))
        if "instances" in body:
            return self.decoded(name, Form.ROW, self._instances(name, body["instances"], notes), notes)
        return self.decoded(name, Form.COLUMN, self._columns(name, body["inputs"], notes), notes)

    def _signature(self, verb: str, given: Any) -> str:
        name = VERBS[verb].signature if given is None or given == "" else given
        if not isinstance(name, str):
            raise InvalidInput.at("/signature_name", "signature_name has to be a string.")
        signature = self.export.signatures.get(name)
        if signature is None:
            known = ", ".join(sorted(self.export.signatures))
            raise NotFound(f"The model has no signature {quote_name(name)}; it has {known}.")
        if verb not in {"predict", signature.method}:
            raise InvalidInput(f"The signature {quote_name(name)} does not answer :{verb}; use :{signature.method}.")
        return name

    def _instances(self, name: str, instances: Any, notes: Notes) -> list[Row]:
        """Row form: objects of named values; bare values where there is one input."""
        features = self._inputs(name)
        if not isinstance(instances, list):
            raise InvalidInput.at("/instances", f'"instances" has to be a list. {self.example("predict")}')
        self.check_count(len(instances))
        rows = []
        for index, instance in enumerate(instances):
            named = isinstance(instance, dict) and instance.keys() != {"b64"}
            if not named and len(features) != 1:
                raise InvalidInput.at(
                    f"/instances/{index}",
                    f"Instance {index} has to be an object that names the model's {len(features)} features. "
                    + self.example("predict"),
                )
            given = instance if named else {features[0].name: instance}
            rows.append(self._checked(name, features, given, index, "instances", notes))
        return rows

    def _examples(self, name: str, body: dict[str, Any], notes: Notes) -> list[Row]:
        """`:classify` and `:regress`: a feature of the context holds for every example that does not have its own."""
        examples, context = body.get("examples"), body.get("context", {})
        if not isinstance(examples, list) or not isinstance(context, dict):
            raise InvalidInput(f'The body needs "examples", a list; "context" is an object. {self.example("classify")}')
        self.check_count(len(examples))
        features = self._inputs(name)
        rows = []
        for index, example in enumerate(examples):
            if not isinstance(example, dict):
                raise InvalidInput.at(
                    f"/examples/{index}", f"Example {index} has to be an object. {self.example('classify')}"
                )
            merged = {**context, **example}
            rows.append(self._checked(name, features, merged, index, "examples", notes))
        return rows

    def _columns(self, name: str, inputs: Any, notes: Notes) -> list[Row]:
        """Column form: each input with the batch first; bare where there is one input."""
        features = self._inputs(name)
        if not isinstance(inputs, dict) or inputs.keys() == {"b64"}:
            if len(features) != 1:
                raise InvalidInput.at(
                    "/inputs", f'"inputs" has to be an object of the {len(features)} inputs. {self.example("predict")}'
                )
            inputs = {features[0].name: inputs}
        inputs = self._known(features, inputs, "/inputs", "", 0, notes)
        lists = {key: value for key, value in inputs.items() if isinstance(value, list)}
        bare = sorted(inputs.keys() - lists.keys())
        if bare:
            raise InvalidInput.at(
                f"/inputs/{bare[0][:100]}", f"Input {quote_name(bare[0])} has to be a list, the batch first."
            )
        counts = {key: len(value) for key, value in lists.items()}
        if len(set(counts.values())) > 1:
            counted = ", ".join(f"{quote_name(key)} {count}" for key, count in list(counts.items())[:5])
            raise InvalidInput.at("/inputs", f"The inputs have different numbers of rows: {counted}.")
        rows = next(iter(counts.values()), 0)
        self.check_count(rows)
        columns = [
            [
                self._value(feature, lists[feature.name][i] if feature.name in lists else ABSENT, i, "inputs", notes)
                for i in range(rows)
            ]
            for feature in features
        ]
        make = self._row_for(name)
        return [make(*values) for values in zip(*columns, strict=True)]

    def _checked(self, name: str, features: Any, instance: dict[str, Any], index: int, key: str, notes: Notes) -> Row:
        get = self._known(features, instance, f"/{key}/{index}", f"Instance {index}: ", index, notes).get
        return self._row_for(name)(*[self._value(f, get(f.name, ABSENT), index, key, notes) for f in features])

    def _value(self, feature: InputFeature, value: Any, index: int, key: str, notes: Notes) -> Any:
        try:
            made = checked(value, feature, example_form=key == "examples")
            notes.value(feature, value, index)
            return made
        except BadValue as error:
            raise wrong(
                feature, error, index, key, self.example("classify" if key == "examples" else "predict")
            ) from None

    def _known(
        self, features: Any, given: dict[str, Any], pointer: str, where: str, index: int, notes: Notes
    ) -> dict[str, Any]:
        """The values under names that the model has."""
        unknown = given.keys() - {feature.name for feature in features}
        if unknown and not notes.ignore_unknown:
            detail = f"{where}the model has no feature {quote_name(min(unknown))}. {_IGNORE} {self.example('predict')}"
            raise InvalidInput.at(pointer, detail.rstrip())
        if unknown:
            notes.ignored(unknown, index)
            return {name: value for name, value in given.items() if name not in unknown}
        return given

    def check_count(self, rows: int) -> None:
        """Raises TooLarge for more rows than one request may have."""
        if rows > self.max_rows:
            raise TooLarge(f"The request has {rows} instances; the most is {self.max_rows}. Send it in parts.")

    def _inputs(self, name: str) -> Any:
        return inputs_of(self.export, self.export.signatures[name])

    def _row_for(self, name: str) -> Any:
        return self._row if self.export.signatures[name].input == "features" else self._bytes_row

    def example(self, verb: str) -> str:
        """A body that works, for messages; empty when the export brought no example."""
        if not self.export.examples:
            return ""
        key = VERBS[verb].rows_key
        text = msgspec.json.encode({key: self.export.examples[:1]}).decode()
        return f"A body that works: {text}" if len(text) <= _EXAMPLE_CHARACTERS else ""


def _row_type(features: Any) -> Any:
    fields = [(f"f{i}", _type(feature)) for i, feature in enumerate(features)]
    # Names that no field can have are read the careful way, where a row is made by its attributes.
    named = can_be_fields(feature.name for feature in features)
    renamed = {f"f{i}": feature.name for i, feature in enumerate(features)} if named else None
    return msgspec.defstruct("Instance", fields, rename=renamed, forbid_unknown_fields=True, gc=False)


def _body_type(row: Any) -> Any:
    fields: list[Any] = [("instances", list[row]), ("signature_name", str | None, None)]
    return msgspec.defstruct("Body", fields, forbid_unknown_fields=True, gc=False)


def _type(feature: InputFeature) -> Any:
    item: Any = _TYPES[feature.dtype]
    for size in reversed(feature.shape):
        item = Annotated[list[item], Meta(min_length=size, max_length=size)]
    if feature.sequence:
        item = list[item]
    return item if feature.missing is None else item | None
