"""The canned estimators by name."""

from ..estimator import Estimator
from .baseline import BaselineClassifier, BaselineEstimator, BaselineRegressor
from .dnn import DNNClassifier, DNNEstimator, DNNRegressor
from .dnn_linear_combined import DNNLinearCombinedClassifier, DNNLinearCombinedEstimator, DNNLinearCombinedRegressor
from .linear import LinearClassifier, LinearEstimator, LinearRegressor
from .rnn import RNNClassifier, RNNEstimator

ESTIMATORS: dict[str, type[Estimator]] = {
    made.__name__: made
    for made in (
        BaselineClassifier,
        BaselineEstimator,
        BaselineRegressor,
        DNNClassifier,
        DNNEstimator,
        DNNLinearCombinedClassifier,
        DNNLinearCombinedEstimator,
        DNNLinearCombinedRegressor,
        DNNRegressor,
        LinearClassifier,
        LinearEstimator,
        LinearRegressor,
        RNNClassifier,
        RNNEstimator,
    )
}
