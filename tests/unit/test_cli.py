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


@pytest.mark.parametrize("words", [["--where", "strategy=finetune"], ["--by", "head"]])
def test_what_chooses_among_jobs_is_not_passed_over_for_one(words, tmp_path, regraft):
    (tmp_path / "result.json").write_text('{"status": "finished"}')
    done = regraft("report", str(tmp_path), *words)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path} is one job: --where and --by choose among a sweep's\n"


def commands(app, *before):
    """Every verb, those of groups too, as a person types it."""
    for command in app.registered_commands:
        yield (*before, command.name or command.callback.__name__)
    for group in app.registered_groups:
        yield from [(*before, group.name), *commands(group.typer_instance, *before, group.name)]


@pytest.mark.parametrize("command", [*commands(cli.app)], ids=" ".join)
def test_the_help_of_a_command_is_its_own(command, regraft, tmp_path):
    words = ["strategy=finetune"] if command[0] in ("train", "doctor", "advise") else []
    done = regraft(*command, *words, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    usage = (
        "[group=option] [key=value]" if command == ("train",) else f"regraft {' '.join(command)}"
    )
    assert usage in done.stdout
    assert ("Groups and their options:" in done.stdout) == (command == ("train",))
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("command", ["doctor", "advise"])
def test_short_help_too_and_no_other_flag(command, regraft):
    assert f"regraft {command}" in regraft(command, "-h").stdout
    [line] = regraft(command, "--epochs", "3").stderr.splitlines()
    assert line.endswith("did you mean 'trainer.max_epochs=3'?")
