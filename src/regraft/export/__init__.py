"""A trained network as a folder for other programs, which checks itself before it is there."""
