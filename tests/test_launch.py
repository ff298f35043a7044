import warnings

from regraft.launch import _warn


def test_a_warning_is_a_line_without_its_file(caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _warn
        warnings.warn("16-mixed is not supported\n on CPU", UserWarning, stacklevel=1)
    assert caplog.messages == ["16-mixed is not supported on CPU"]
