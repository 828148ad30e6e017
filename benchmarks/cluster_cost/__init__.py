"""What an update costs on a cluster, from a model's shape alone."""
