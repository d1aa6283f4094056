"""Layers that can prove their Lipschitz constant, one family per file."""
