import logging
import sys

import pytest

from regraft import masking
from regraft.masking import MASK, Formatter, in_text, is_secret, masked

SECRET = (
    "token hf_token HF_TOKEN api_key apikey accessKey client-secret password private_key "
    "aws_secret_access_key data.credentials.user db_passwd"
)
ORDINARY = (
    "tokens num_tokens tokenizer monitor keys key label_column secretary author passes "
    "class_token_pool backbone_ratio keep monkey"
)


@pytest.mark.parametrize("key", SECRET.split(" "))
def test_what_is_a_secret_by_its_key(key):
    assert is_secret(key)
    assert masked({key: "abc"}) == {key: MASK}
    assert masked({"node": {key: ["abc", 3, None, True]}}) == {
        "node": {key: [MASK, MASK, None, True]}
    }


@pytest.mark.parametrize("key", ORDINARY.split(" "))
def test_ordinary_keys_are_left_alone(key):
    config = {key: "val/acc", "more": {key: 3}}
    assert masked(config) == config
    assert in_text(f"{key}=val/acc {{'{key}': 'x'}}") == f"{key}=val/acc {{'{key}': 'x'}}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.path=https://me:pw@host/a?b=1", "data.path=https://***@host/a?b=1"),
        ("git+ssh://token@host/x", "git+ssh://***@host/x"),
        ("a.b=me@example.org", "a.b=me@example.org"),
        ("+data.token='a b' seed=3", "+data.token=*** seed=3"),
        ("data.auth={token:abc,user:me}", "data.auth={token:***,user:me}"),
        ('{"api_key": "abc", "x": 1}', '{"api_key": ***, "x": 1}'),
        ("https://host/f?token=abc&v=1", "https://host/f?token=***&v=1"),
        ("data.token: no such key", "data.token: no such key"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        (f"got hf_{'a' * 20} there", "got *** there"),
        ("commit 4dd4e2e9f0aa4dd4e2e9f0aa4dd4e2e9f0aa4dd4", None),
    ],
)
def test_secrets_in_a_text(text, expected):
    assert in_text(text) == (expected or text)


def test_the_secrets_of_the_environment_are_known_by_their_value(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "correct horse battery")
    monkeypatch.setenv("SHORT_TOKEN", "abc")
    masking._of_the_environment.cache_clear()
    try:
        assert in_text("401 for correct horse battery; abc") == "401 for ***; abc"
    finally:
        masking._of_the_environment.cache_clear()


def test_a_line_of_the_log_has_no_secret_and_is_one_line():
    try:
        raise ValueError("password=hunter2")
    except ValueError:
        record = logging.LogRecord(
            "a", 30, "f", 1, "class %s\ntoken=abc", ("\x1b[31mred",), sys.exc_info()
        )
    text = Formatter("%(levelname)s: %(message)s").format(record)
    first, *rest = text.splitlines()
    assert first == "WARNING: class [31mred token=***"
    assert rest[-1] == "ValueError: password=***"
