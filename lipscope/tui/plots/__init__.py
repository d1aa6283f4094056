"""Everything that draws in characters; plotext sits here and nowhere else."""
