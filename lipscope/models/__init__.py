"""Architectures, composed of layers with proofs, by name."""
