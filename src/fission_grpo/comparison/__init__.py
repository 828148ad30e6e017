"""Several training recipes against each other: equal budget, same tasks, paired seeds, one table (`fission compare`)."""
