"""Training: recipes, losses, augmentation, the loop, and what is kept to continue it."""
