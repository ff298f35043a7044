import pytest

from regraft.complaints import explain
from regraft.errors import RegraftError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RegraftError("say\n this"), "say this"),
        (KeyboardInterrupt(), "interrupted"),
        (
            FileNotFoundError(2, "No such file or directory", "/a/b"),
            "/a/b: No such file or directory",
        ),
        (
            ValueError("Config group override must be a string or a list. Got NoneType"),
            "an option of a group is a word; to switch one off choose none: augment=none",
        ),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero; debug=on shows where"),
    ],
)
def test_every_exception_is_one_line(error, text):
    assert explain(error) == text
