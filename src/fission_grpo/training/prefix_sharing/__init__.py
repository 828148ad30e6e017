"""An update that computes what its rows have in common once: rows become a tree, the tree one packed sequence."""
