from regraft.figures.canvas import shorten, width_of


def test_long_names_keep_their_ends():
    assert shorten("n02085620-Chihuahua dog", 12) == "n02085…a dog"
    assert len(shorten("x" * 99, 13)) == 13
    assert shorten("short", 12) == "short"


def test_wide_letters_take_the_room_of_two():
    assert shorten("银龙鱼银龙鱼", 12) == "银龙鱼银龙鱼"
    assert shorten("银龙鱼银龙鱼银", 12) == "银龙鱼…鱼银"
    assert width_of("银龙鱼…鱼银") == 11
