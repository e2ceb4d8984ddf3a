"""Which recorded cases are served: every kind of network, every kind of head."""

CASES = [
    "baseline_classifier",
    "dnn_multiclass_vocabulary_weighted_adam",
    "dnn_regressor_rmsprop_two_outputs",
    "head_multi_label",
    "head_poisson",
    "linear_classifier_ftrl",
    "rnn_gru_multiclass_context",
    "rnn_lstm_binary",
    "rnn_simple_numeric_sequence",
    "wide_and_deep_classifier",
]
