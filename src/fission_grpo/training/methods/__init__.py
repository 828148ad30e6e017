"""Training methods, one file each; `registry.make_method` makes the one that a recipe names."""
