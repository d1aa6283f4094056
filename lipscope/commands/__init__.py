"""The commands: each file parses, calls the core and prints."""
