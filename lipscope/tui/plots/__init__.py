"""Everything that draws in characters; plotext sits in ``curves`` and nowhere else."""
