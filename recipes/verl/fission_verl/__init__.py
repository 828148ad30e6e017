"""Fission-GRPO on verl: one controller, a mixed batch of exploration and recovery groups. Start with `trainer`."""
