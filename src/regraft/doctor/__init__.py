"""What would go wrong in a training, found out in seconds and before it: `regraft doctor`."""
