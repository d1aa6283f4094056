"""What ``import lipscope`` offers, one function per file: thin over the rooms that do the work."""
