import pytest

from regraft import cli


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("cache prune --days 0", "No such option: --days (regraft cache prune takes --older-than"),
        ("cache prune --max-gb", "Option '--max-gb' requires an argument"),
        ("reprot .", "(regraft takes train, doctor, advise, "),
        ("report", "(regraft report takes FOLDER, --where, --by, --html)"),
    ],
)
def test_what_is_typed_wrong_is_one_line_with_what_there_is(words, said, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["regraft", *words.split()])
    with pytest.raises(SystemExit) as end:
        cli.main()
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("words", "code"), [([], 0), (["report", "/nowhere"], 1)])
def test_the_exit_code_is_that_of_the_command(words, code, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["regraft", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert (end.value.code or 0) == code
    assert capsys.readouterr()[bool(code)]
