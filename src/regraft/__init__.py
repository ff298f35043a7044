"""regraft: given my images, how much of a pretrained network should I keep?"""

__version__ = "0.1.0"
