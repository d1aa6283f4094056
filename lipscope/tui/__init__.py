"""The terminal app: it shows what the other rooms computed, and computes nothing itself."""
