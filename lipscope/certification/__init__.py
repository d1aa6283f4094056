"""Certification: from logits to radii, over a whole data set."""
