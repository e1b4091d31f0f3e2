"""Training of one trial: a generator of epoch reports that knows neither Ray nor Optuna."""
