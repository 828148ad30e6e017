"""`fission eval tau2` and `fission eval tau`: play TAU2-Bench and TAU-Bench, and say what a score is worth."""
