"""Radii: how far around each test image the prediction is proved."""
