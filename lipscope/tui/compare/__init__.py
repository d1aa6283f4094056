"""Compare: two models beside each other."""
