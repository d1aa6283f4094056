"""What opens over the screens: help, export, copy."""
