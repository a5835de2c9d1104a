"""DeferralTuner: learns on validation when a small model asks the big one, and what that buys."""
