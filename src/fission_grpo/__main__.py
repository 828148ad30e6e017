"""`python -m fission_grpo` is the command `fission`."""

from fission_grpo.cli import main

main()
