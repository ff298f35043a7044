"""Names in any letters: a font that has them is found, or asked for, or its package is told."""

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from pictures import pixels

from regraft.errors import RegraftError
from regraft.figures import fonts, runs

NAMES = ("银龙鱼", "고양이", "ふぐ")
LETTERS = "".join(NAMES)


def made(path, letters, family):
    """A font whose letters are black squares."""
    pen = TTGlyphPen(None)
    for step, corner in enumerate([(100, 0), (100, 800), (900, 800), (900, 0)]):
        pen.lineTo(corner) if step else pen.moveTo(corner)
    pen.closePath()
    square, empty = pen.glyph(), TTGlyphPen(None).glyph()
    names = [".notdef", *(f"u{ord(letter):x}" for letter in letters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(dict(zip(map(ord, letters), names[1:], strict=True)))
    builder.setupGlyf({name: square if name != ".notdef" else empty for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def installed(monkeypatch):
    """A machine whose fonts a test puts there, and which has told nobody of any yet."""
    found = []
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: list(found))
    monkeypatch.setattr(fonts, "_told", set())
    before = list(font_manager.fontManager.ttflist)
    yield found
    font_manager.fontManager.ttflist[:] = before
    fonts.letters.cache_clear()


def matrix(path, names=NAMES):
    runs.confusion_matrix([0, 1, 2], [0, 1, 2], names, path)
    return pixels(path)


def test_a_font_that_is_installed_gives_names_their_letters(installed, tmp_path, caplog):
    boxes = matrix(tmp_path / "boxes.png")
    installed.append(made(tmp_path / "some.ttf", LETTERS, "Squares Of All"))
    caplog.clear()
    squares = matrix(tmp_path / "squares.png")
    assert squares.shape == boxes.shape
    assert (squares < 60).sum() > (boxes < 60).sum() + 500  # whole squares, where frames were
    assert caplog.records == []
    assert np.array_equal(matrix(tmp_path / "again.png"), squares)


def test_several_fonts_have_them_between_them(installed, tmp_path, caplog):
    installed += [made(tmp_path / f"{n}.ttf", name, f"Part {n}") for n, name in enumerate(NAMES)]
    matrix(tmp_path / "x.png")
    assert caplog.records == []
    assert list(fonts.having("银이")) == installed[:2]


def test_where_no_font_has_them_one_line_names_the_package(installed, tmp_path, caplog):
    for _ in range(2):
        matrix(tmp_path / "x.png")
    [line] = [record.getMessage() for record in caplog.records]
    assert "no font here has" in line and "银" in line
    assert "apt install fonts-noto-cjk)" in line and "figures.font=<file of a font>" in line
    matrix(tmp_path / "x.png", ("🐟", "b", "c"))
    assert "apt install fonts-symbola)" in caplog.records[-1].getMessage()
    assert len(caplog.records) == 2


def test_the_font_that_was_asked_for_comes_first(installed, tmp_path):
    path = made(tmp_path / "mine.ttf", f"{LETTERS}abc", "Squares Of Mine")
    plain = matrix(tmp_path / "plain.png", ("a", "b", "c"))
    with fonts.asked_first(path):
        mine = matrix(tmp_path / "mine.png", ("a", "b", "c"))
        assert fonts.families() == ["Squares Of Mine", fonts.OWN]
    assert not np.array_equal(mine, plain)
    with fonts.asked_first("squares of mine"):  # by its name, now that it is known
        assert fonts.families()[0] == "Squares Of Mine"
    with fonts.asked_first(str(tmp_path / "gone.ttf")):
        assert fonts.families() == [fonts.OWN]
    assert np.array_equal(matrix(tmp_path / "x.png", ("a", "b", "c")), plain)


@pytest.mark.parametrize("font", ["DejaVu Sant", "nothing.ttf"])
def test_a_font_that_is_not_there_is_refused_in_one_line(font, tmp_path):
    with pytest.raises(RegraftError, match=f"^figures.font={font}: no font of this name") as error:
        fonts.Figures(font=font)
    assert "\n" not in str(error.value)
    assert ("did you mean 'DejaVu Sans'?" in str(error.value)) == font.startswith("DejaVu")
    (tmp_path / "text.ttf").write_text("this is no font")
    with pytest.raises(RegraftError):
        fonts.Figures(font=str(tmp_path / "text.ttf"))
    assert fonts.Figures(font=None).font is None


def test_a_damaged_font_of_the_system_is_passed_over(installed, tmp_path, caplog):
    (tmp_path / "a.ttf").write_text("this is no font")
    installed += [str(tmp_path / "a.ttf"), made(tmp_path / "b.ttf", LETTERS, "Squares B")]
    assert list(fonts.having(LETTERS)) == installed[1:]


def test_signs_that_only_join_or_select_want_no_font():
    assert not any(map(fonts._is_drawn, " \t\u200d\ufe0f\u0301\u202e"))
    assert all(map(fonts._is_drawn, "aß银🐟ع"))
