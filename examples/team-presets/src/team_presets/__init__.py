"""What one team shares for regraft."""
