"""What happens off the app's thread, and the state that comes of it."""
