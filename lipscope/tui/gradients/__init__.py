"""Gradients: how much of the gradient's norm each layer passes back."""
