"""How a folder gets to where it belongs."""

import threading

from filelock import Timeout

from regraft.paths import file_lock, make_whole


def fill(unfinished):
    (unfinished / "file").write_text("whole")
    return unfinished


def is_whole(folder):
    return (folder / "file").read_text() == "whole"


def test_a_damaged_folder_is_made_anew_and_a_whole_one_is_left(tmp_path):
    folder = tmp_path / "folder"
    make_whole(folder, fill, is_whole)
    first = folder.stat().st_ino, (folder / "file").stat().st_mtime_ns
    make_whole(folder, fill, is_whole)
    assert (folder.stat().st_ino, (folder / "file").stat().st_mtime_ns) == first
    (folder / "file").write_text("half")
    make_whole(folder, fill, is_whole)
    assert is_whole(folder)


def test_damage_is_judged_by_one_at_a_time(tmp_path):
    """Or one would remove what another has just made."""
    folder, free = tmp_path / "folder", []
    folder.mkdir()

    def seen(_):
        def look():
            try:
                file_lock(tmp_path / ".folder.lock").acquire(blocking=False)
            except Timeout:
                free.append(False)
            else:
                free.append(True)

        other = threading.Thread(target=look)
        other.start()
        other.join()
        return False

    make_whole(folder, fill, seen)
    assert free == [False]
    assert is_whole(folder)
