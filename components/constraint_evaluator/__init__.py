"""ConstraintEvaluator: measures the candidates of one version and blesses what keeps its budgets."""
