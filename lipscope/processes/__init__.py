"""Several processes that work on one thing, started by torchrun: who am I, are the others there, who computes what."""
