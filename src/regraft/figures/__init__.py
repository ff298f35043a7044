"""Every picture, one file each."""
