"""Images and labels: where they come from, which of them, and how they are fed."""
