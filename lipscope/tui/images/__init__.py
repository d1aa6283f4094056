"""Images: the test images, and what is certified of each."""
