"""A training run whose surroundings fail at random, from a seed: nothing of it is known to the product."""
