"""`tf.Example`s of a request as the rows of a signature: those of `:classify` and `:regress` in another spelling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.errors import InvalidInput, TooLarge
from app.serving.decode import Decoded, Decoder
from app.serving.export_description import InputFeature, inputs_of
from app.serving.protocol import Form


def decode_input(decoder: Decoder, signature: str, given: Any, most_bytes: int) -> Decoded:
    """The examples of a request as valid rows.

    Args:
        signature: one that the version has.
        given: `tensorflow.serving.Input`; a feature of its context holds for every example that lacks it.

        most_bytes: that all examples may take once each has the context's features.

    Raises:
        InvalidInput: naming the example, the feature and what is expected.
        TooLarge: too many examples, or too large a context for them.
    """
    listed, context = _listed(given)
    if not listed.examples:
        raise InvalidInput("The request's input has no examples.")
    decoder.check_count(len(listed.examples))
    if context is not None and context.ByteSize() * len(listed.examples) > most_bytes:
        raise TooLarge(f"The context, once for each example, takes more than {most_bytes} bytes. Send fewer examples.")
    if decoder.export.signatures[signature].input == "examples":
        rows = decoder.rows(signature, [{"examples": value} for value in serialized_examples(given)])
    else:
        features = inputs_of(decoder.export, decoder.export.signatures[signature])
        shared = {} if context is None else _values(context, features)
        rows = decoder.rows_of_examples(
            signature, [{**shared, **_values(example, features)} for example in listed.examples]
        )
    return decoder.decoded(signature, Form.TENSORS, rows)


def serialized_examples(given: Any) -> list[bytes]:
    """The examples, each with the context's features. Raises InvalidInput: there is no list of them."""
    listed, context = _listed(given)
    return [_merged(example, context).SerializeToString() for example in listed.examples]


def _listed(given: Any) -> tuple[Any, Any]:
    """The list of examples, and their context or None."""
    kind = given.WhichOneof("kind")
    if kind is None:
        raise InvalidInput("The request's input is empty: it needs an example_list.")
    listed = getattr(given, kind)
    return listed, listed.context if kind == "example_list_with_context" else None


def _merged(example: Any, context: Any) -> Any:
    if context is None:
        return example
    merged = type(example)()
    merged.CopyFrom(context)
    for name, feature in example.features.feature.items():
        merged.features.feature[name].CopyFrom(feature)
    return merged


def _values(example: Any, features: Sequence[InputFeature]) -> dict[str, Any]:
    """Lists of values by feature, nested where the feature's rows are; what the model does not know is left out."""
    found = {}
    given = example.features.feature
    for feature in features:
        if feature.name in given and (kind := given[feature.name].WhichOneof("kind")) is not None:
            values: list[Any] = list(getattr(given[feature.name], kind).value)
            for size in reversed(feature.shape if feature.sequence else feature.shape[1:]):
                values = [values[i : i + size] for i in range(0, len(values), max(size, 1))]
            found[feature.name] = values
    return found
