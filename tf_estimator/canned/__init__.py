"""Estimators with a ready-made model_fn."""
