"""What a search is told and what it says; the searches themselves are in jobs/test_search.py."""

import json

from regraft import search
from regraft.jobs import read_jobs


def test_the_best_trial_is_said_in_words_that_can_be_typed(tmp_path):
    for number, acc in enumerate((0.5, None, 0.75)):
        (tmp_path / str(number)).mkdir()
        metrics = {} if acc is None else {"val/acc": acc}
        result = {"status": "finished", "metrics": metrics}
        (tmp_path / str(number) / "result.json").write_text(json.dumps(result))
    text = "name: optuna\nbest_params: {optimizer.lr: 0.003, head: mlp}\nbest_value: 0.75\n"
    (tmp_path / search.RESULTS).write_text(text)
    expected = "best of the search: job 2, val/acc 0.750: optimizer.lr=0.003 head=mlp"
    assert search.best(tmp_path, read_jobs(tmp_path)) == expected


def test_without_a_search_or_with_several_goals_there_is_no_best_trial(tmp_path):
    assert search.best(tmp_path, []) is None
    (tmp_path / search.RESULTS).write_text("name: optuna\nsolutions: []\n")
    assert search.best(tmp_path, []) is None
