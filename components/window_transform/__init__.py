"""WindowTransform: records to windows for forecasting."""
