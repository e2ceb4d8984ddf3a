"""Forward passes written out by hand over variables named as in the starting checkpoint."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import w1
import w2
import w3

from tf_estimator.recurrent import gru, lstm  # the fastest kernels known here; no library has better ones

Variables = dict[str, tf.Variable]


def logits(name: str, variables: Variables, features: dict[str, Any]) -> tf.Tensor:
    """Logits `[batch, 3]` of the workload's model."""
    if name.startswith("w2"):
        return _dense(variables, _w2_input(variables, features), len(w2.HIDDEN_UNITS), bfloat16=name == "w2_bf16")
    if name.startswith("w3"):
        return _recurrent(variables, features["tokens"], gru if "gru" in name else lstm)
    columns = [features[n] for n in sorted(w1.FEATURES)]
    return _dense(variables, tf.stack(columns, axis=1), len(w1.HIDDEN_UNITS))


def _dense(variables: Variables, net: tf.Tensor, layers: int, bfloat16: bool = False) -> tf.Tensor:
    for name in [*(f"dnn/hiddenlayer_{i}" for i in range(layers)), "dnn/logits"]:
        kernel: Any = variables[f"{name}/kernel"]
        if bfloat16:
            product = tf.cast(tf.matmul(tf.cast(net, tf.bfloat16), tf.cast(kernel, tf.bfloat16)), tf.float32)
        else:
            product = tf.matmul(net, kernel)
        net = tf.nn.bias_add(product, variables[f"{name}/bias"])
        if name != "dnn/logits":
            net = tf.nn.relu(net)
    return net


def _w2_input(variables: Variables, features: dict[str, Any]) -> tf.Tensor:
    parts = []
    for name in sorted(features):
        if name in w2.WORDS:
            rows = tf.strings.to_hash_bucket_fast(features[name], w2.BUCKETS)
            parts.append(tf.gather(variables[w2.EMBEDDING.format(name)], rows))
        else:
            parts.append(features[name][:, None])
    return tf.concat(parts, axis=1)


def _recurrent(variables: Variables, tokens: tf.SparseTensor, layer: Any) -> tf.Tensor:
    codes = tf.strings.to_hash_bucket_fast(tokens.values, w3.BUCKETS)
    rows, steps = tf.unstack(tokens.indices, num=2, axis=1)
    batch, time = tokens.dense_shape[0], tokens.dense_shape[1]
    lengths = tf.math.unsorted_segment_max(steps + 1, rows, batch)
    places = tf.stack([steps, rows], axis=1)
    net = tf.scatter_nd(places, tf.gather(variables[w3.EMBEDDING], codes), tf.stack([time, batch, w3.DIMENSION]))
    net = tf.ensure_shape(net, [None, None, w3.DIMENSION])
    cell = "gru" if layer is gru else "lstm"
    for suffix in ("", "_1"):
        scope = f"rnn_model/rnn/stacked_rnn_cells/{cell}_cell{suffix}"
        weights = [variables[f"{scope}/{part}"] for part in ("kernel", "recurrent_kernel", "bias")]
        net = layer(net, *weights, tf.constant(True))
    last = tf.gather_nd(net, tf.stack([lengths - 1, tf.range(batch)], axis=1))
    return tf.nn.bias_add(tf.matmul(last, variables["rnn_model/logits/kernel"]), variables["rnn_model/logits/bias"])
