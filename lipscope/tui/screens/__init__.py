"""One file per screen: what each tab holds, and the help."""
