"""What a trained network says of any number of images: which, how they are read, who is told."""
