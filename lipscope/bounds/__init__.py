"""Proved bounds: pure functions of kernels and matrices, in float64 with outward rounding."""
