"""Training: a run, live or finished."""
