"""Start: the runs, checkpoints and recent files that can be opened."""
