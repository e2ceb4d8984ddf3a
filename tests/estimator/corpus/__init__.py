"""Small programs as people wrote them for `tf.estimator`, and what each of them gives.

`programs/` holds them by theme. `recorded.json` has what each of them gave on TensorFlow 2.15.1, written by
`scripts/record_corpus`; `differences.json` names those that are to give something else here, and why.
"""
