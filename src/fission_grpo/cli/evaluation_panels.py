"""What the commands of `fission eval` share: the panels of their help, and an exit status."""

WHAT, SAMPLING, LOCAL, ENDPOINT, OUTPUT = "What to play", "Sampling", "A model in this process", "An endpoint", "Output"

INCOMPLETE = 3
"""Exit status: something is missing, because the infrastructure failed; the same command completes it."""
