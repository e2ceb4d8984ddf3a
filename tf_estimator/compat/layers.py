"""Layers for a model_fn (`est.layers`): Keras 3 has none for feature columns."""

from ..feature_column import DenseFeatures, LinearModel, SequenceFeatures, concatenate_context

__all__ = ["DenseFeatures", "LinearModel", "SequenceFeatures", "concatenate_context"]
