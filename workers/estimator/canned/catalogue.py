"""The canned estimators by name."""

from workers.estimator.canned.baseline import BaselineClassifier, BaselineEstimator, BaselineRegressor
from workers.estimator.canned.dnn import DNNClassifier, DNNEstimator, DNNRegressor
from workers.estimator.canned.dnn_linear_combined import (
    DNNLinearCombinedClassifier,
    DNNLinearCombinedEstimator,
    DNNLinearCombinedRegressor,
)
from workers.estimator.canned.linear import LinearClassifier, LinearEstimator, LinearRegressor
from workers.estimator.canned.rnn import RNNClassifier, RNNEstimator
from workers.estimator.estimator import Estimator

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
