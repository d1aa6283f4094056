"""Overview: the verdict, and what it proves."""
