"""What is measured on a model: singular values, gradient norms, and the verdict that bounds and measures give."""
