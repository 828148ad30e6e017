"""`fission eval tau2`: plays TAU2-Bench, and says what a score is worth."""
