"""Everything that draws in characters; pure functions, coordinates in, characters out."""
