"""Scripted agents in tau2's tasks, played by this project and by tau2 itself."""
