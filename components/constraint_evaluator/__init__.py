"""ConstraintEvaluator: measures a version's candidates and blesses one that keeps its budgets."""
