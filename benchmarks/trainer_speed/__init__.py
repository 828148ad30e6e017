"""Parts of `speed.py` and `scaling.py`: TRL's GRPOTrainer and ours on the same rows."""
