"""Singular values of a layer or a matrix: all of them, the extremes, or their density."""
