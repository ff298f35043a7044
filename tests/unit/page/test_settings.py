import shlex

from regraft.page import settings


def test_common_and_different_keys_make_up_the_whole_of_each_job():
    jobs = [{"a": 1, "b": "x", "c": [1, 2]}, {"a": 1, "b": "y"}, {"a": 1, "b": "x", "c": [1, 2]}]
    made = settings.compared(jobs)

    assert made.common == {"a": "1"}
    assert made.different == {"b": (("x", 2), ("y", 1)), "c": (("[1, 2]", 2), ("–", 1))}
    for job in jobs:
        whole = made.common | settings.own(job, made)
        assert whole == {key: settings.text_of(value) for key, value in job.items()}


def test_of_many_values_the_most_frequent_are_listed():
    made = settings.compared([{"lr": number} for number in range(500)])
    assert len(made.different["lr"]) == settings.MOST_VALUES
    assert made.left_out == {"lr": 500 - settings.MOST_VALUES}


def test_a_command_reaches_the_program_as_the_words_that_made_the_job():
    words = ["data.root='/my  pictures'", "tags=[a,b]", "+x=$HOME", "-y=`id`", "é=\"'"]
    assert shlex.split(settings.command(words)) == ["python", "train.py", *words]
