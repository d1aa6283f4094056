"""Which keys there are, and where they go."""
