from regraft.figures.canvas import shorten


def test_long_names_keep_their_ends():
    assert shorten("n02085620-Chihuahua dog", 12) == "n02085…a dog"
    assert len(shorten("x" * 99, 13)) == 13
    assert shorten("short", 12) == "short"
