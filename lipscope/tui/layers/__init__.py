"""Layers: the table, and all that is known of one layer."""
