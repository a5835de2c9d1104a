"""CooperationTuner: learns on validation how several models decide together."""
