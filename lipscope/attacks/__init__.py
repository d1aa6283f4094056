"""Attacks on certificates: each tries to change predictions at a distance below the certified radius."""
