import pictures

from regraft.figures.backbones import Bar, draw

PROBED = Bar("probed", (0.8, 0.75, 0.85), None, 11_700_000, None, "first", False)
TRAINED = Bar("trained", (0.7, 0.6, 0.8), (0.9, 0.85, 0.95), 5_000_000, 12.0, "tie", True)
FAILED = Bar("failed", None, None, None, None, "", False, "failed")


def test_there_is_a_row_for_each_backbone_and_more_ink_for_what_was_trained(tmp_path):
    draw([PROBED, TRAINED, FAILED], tmp_path / "three.png", images=100)
    draw([PROBED, PROBED, FAILED], tmp_path / "less.png", images=100)
    draw([FAILED], tmp_path / "one.png", images=0)
    three, less, one = (pictures.pixels(tmp_path / f"{n}.png") for n in ("three", "less", "one"))
    assert three.shape[1] == 1350
    assert three.shape[0] > one.shape[0]
    assert (three < 100).sum() > (less < 100).sum()
