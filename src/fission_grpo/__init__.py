"""Fission-GRPO: reinforcement learning that teaches language models to recover from failed tool calls."""

__version__ = "0.1.0"
