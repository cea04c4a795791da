"""Durable files: the old bytes or the new, whole folders or none, and every damage noticed."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward import files
from onward.errors import DiskFull, IntegrityError, MissingFiles

Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)  # fmt: skip


class Failing:
    """Makes the Nth durable operation fail, and remembers all that were asked for."""

    def __init__(self, nth: int, error: BaseException) -> None:
        self.nth, self.error = nth, error
        self.seen: list[tuple[str, str]] = []

    def __call__(self, kind: str, path: Path) -> None:
        self.seen.append((kind, path.name))
        if len(self.seen) == self.nth:
            raise self.error


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Failing]]:
    def install(nth: int, error: BaseException | None = None) -> Failing:
        failing = Failing(nth, error or OSError(errno.EIO, "injected"))
        monkeypatch.setattr(files, "operation", failing)
        return failing

    yield install


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


# ---- values -------------------------------------------------------------------------------------


@given(Json)
def test_a_json_value_has_one_form(value: object) -> None:
    form = files.canonical(value)
    assert json.loads(form) == value
    assert files.canonical(json.loads(form)) == form
    assert len(files.digest(value)) == 64


def test_order_of_keys_does_not_matter_and_nan_is_refused() -> None:
    assert files.digest({"a": 1, "b": 2}) == files.digest({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        files.canonical(math.nan)


# ---- single files -------------------------------------------------------------------------------


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.json"
    files.write_json(path, {"b": 1, "a": "é"})
    assert path.read_text() == '{\n "a": "é",\n "b": 1\n}\n'
    assert path.stat().st_mode & 0o777 == 0o644
    assert files.read_json(path) == {"b": 1, "a": "é"}
    files.write_text(path, "other")
    assert path.read_bytes() == b"other" and names(tmp_path) == ["new/folder/a.json"]


def test_reading_what_is_not_there_or_not_json(tmp_path: Path) -> None:
    with pytest.raises(MissingFiles, match=r"a\.json is not there"):
        files.read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff")
    with pytest.raises(IntegrityError, match="not readable JSON"):
        files.read_json(tmp_path / "a.json")


def test_both_sides_of_a_merge_are_told_from_damage(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text('{"a": 1}\n<<<<<<< HEAD\n{"b": 1}\n=======\n{"b": 2}\n>>>>>>> other\n')
    for read in (files.read_json, files.read_lines):
        with pytest.raises(IntegrityError, match="a holds both sides of a merge") as caught:
            read(path)
        assert "git checkout --ours -- models data.dvc dvc.lock" in caught.value.fix
    path.write_text('{"a"\n{"b": "\\n<<<<<<< "}\n')
    with pytest.raises(IntegrityError, match="Line 1 of a is not readable") as caught:
        files.read_lines(path)
    assert str(path) in caught.value.fix


def test_f02_a_write_that_fails_anywhere_leaves_old_or_new(
    tmp_path: Path, fail: Callable[..., Failing]
) -> None:
    path = tmp_path / "a"
    for nth in range(1, 100):
        path.write_bytes(b"old")
        failing = fail(nth)
        try:
            files.write_bytes(path, b"new")
        except OSError:
            # The last fsync comes after the rename: then the new bytes are there.
            assert path.read_bytes() in (b"old", b"new")
            assert names(tmp_path) == ["a"]
            continue
        assert path.read_bytes() == b"new"
        break
    assert [kind for kind, _ in failing.seen] == ["open", "write", "fsync", "rename", "fsync"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_f04_a_full_disk_names_path_needed_and_free(
    tmp_path: Path, fail: Callable[..., Failing], code: int
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    fail(2, OSError(code, "full"))
    with pytest.raises(DiskFull) as caught:
        files.write_bytes(path, b"12345")
    assert caught.value.where == str(path)
    assert caught.value.details["needed"] == 5 and caught.value.details["free"] > 0
    assert path.read_bytes() == b"old" and names(tmp_path) == ["a"]


def test_f04_a_full_disk_where_even_the_folder_is_gone(tmp_path: Path) -> None:
    with pytest.raises(DiskFull), files.disk_errors(tmp_path / "gone" / "a", 1):
        raise full()


def test_other_errors_of_the_system_pass_as_they_are(
    tmp_path: Path, fail: Callable[..., Failing]
) -> None:
    fail(1, PermissionError(errno.EACCES, "denied"))
    with pytest.raises(PermissionError):
        files.write_bytes(tmp_path / "a", b"x")


def test_f04_what_cannot_fit_is_refused_before_it_starts(tmp_path: Path) -> None:
    files.ensure_space(tmp_path / "not" / "yet" / "there", 1)
    with pytest.raises(DiskFull, match="bytes needed") as caught:
        files.ensure_space(tmp_path / "not" / "yet", 1 << 60)
    assert caught.value.details["needed"] == 1 << 60


def test_f02_bytes_are_on_the_disk_before_their_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `operation` announces is done: machines lose power, too."""
    seen: list[str] = []
    flush, rename = os.fsync, Path.rename

    def named(path: Path) -> str:
        return re.sub(r"^\.(.*)\.[^.]+\.tmp$", r"\1 to be", path.name)

    def flushed(descriptor: int) -> None:
        flush(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        held = f", {path.stat().st_size} bytes" if path.is_file() else ""
        seen.append(f"{named(path)}{held}")

    def renamed(self: Path, target: Path) -> Path:
        seen.append(f"{named(self)} is {target.name}")
        return rename(self, target)

    def taken() -> list[str]:
        told = seen.copy()
        seen.clear()
        return told

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "rename", renamed)
    here = tmp_path / "here"
    files.write_bytes(here / "a", b"1234567890")
    assert taken() == ["a to be, 10 bytes", "a to be is a", "here"]
    files.append_line(here / "journal", {"n": 1})
    assert taken() == ["journal, 8 bytes", "here"]
    build(here / "v1")
    sealed = (here / "v1" / files.MANIFEST).stat().st_size
    assert taken() == [
        "b, 1 bytes",
        "a, 7 bytes",
        "inner",
        f"manifest.json to be, {sealed} bytes",
        "manifest.json to be is manifest.json",
        "v1 to be",
        "v1 to be is v1",
        "here",
    ]


# ---- lines --------------------------------------------------------------------------------------


def test_lines_are_appended_and_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal"
    assert files.read_lines(path) == []
    for number in range(3):
        files.append_line(path, {"n": number})
    assert files.read_lines(path) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert path.read_bytes() == b'{"n":0}\n{"n":1}\n{"n":2}\n'


@pytest.mark.parametrize("torn", [b"x", b'{"n":', b'{"n":1}'])
def test_i3_a_torn_last_line_counts_as_not_written(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "journal"
    for before in ([], [{"n": 0}]):
        path.write_bytes(b"".join(files.canonical(line) + b"\n" for line in before) + torn)
        assert files.read_lines(path) == before
        files.append_line(path, {"n": 9})
        assert files.read_lines(path) == [*before, {"n": 9}]


def test_a_broken_line_before_the_last_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"n":0}\nbroken\n{"n":2}\n')
    with pytest.raises(IntegrityError) as caught:
        files.read_lines(path)
    assert caught.value.where == f"{path}:2"


def test_f02_an_append_that_fails_is_not_there_unless_it_was_flushed(
    tmp_path: Path, fail: Callable[..., Failing]
) -> None:
    path = tmp_path / "journal"
    for nth in range(1, 100):
        path.write_bytes(b'{"n":0}\n')
        failing = fail(nth)
        try:
            files.append_line(path, {"n": 1})
        except OSError:
            flushed = len(failing.seen) == 4  # the folder's own fsync comes after the line's
            assert len(files.read_lines(path)) == (2 if flushed else 1)
            continue
        break
    assert [kind for kind, _ in failing.seen] == ["open", "write", "fsync", "fsync"]


def test_f04_a_full_disk_leaves_the_lines_as_they_were(
    tmp_path: Path, fail: Callable[..., Failing]
) -> None:
    path = tmp_path / "journal"
    files.append_line(path, {"n": 0})
    fail(3, full())
    with pytest.raises(DiskFull):
        files.append_line(path, {"n": 1})
    assert path.read_bytes() == b'{"n":0}\n'


def test_f04_of_a_line_that_fits_in_part_no_end_is_left(tmp_path: Path) -> None:
    """What a buffer still held was written as the file was closed, behind the cut."""
    path = tmp_path / "journal"
    files.append_line(path, {"n": 0})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            files.append_line(path, {"n": 1, "reason": "x" * 1000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b'{"n":0}\n'


# ---- folders ------------------------------------------------------------------------------------


def build(final: Path, text: str = "weights", **options: bool) -> None:
    with files.building(final, **options) as folder:  # type: ignore[arg-type]
        (folder / "inner").mkdir()
        (folder / "inner" / "a").write_text(text)
        (folder / "b").write_text("b")


def test_a_folder_is_sealed_with_what_was_given(tmp_path: Path) -> None:
    with files.building(tmp_path / "v1", version="v1") as folder:
        (folder / "a").write_text("123")
    manifest = files.read_json(tmp_path / "v1" / files.MANIFEST)
    digest = files.sha256(tmp_path / "v1" / "a")
    assert manifest == {
        "schema": 1,
        "version": "v1",
        "files": {"a": {"sha256": digest, "bytes": 3}},
    }
    assert (tmp_path / "v1").stat().st_mode & 0o777 == 0o755


def test_equal_contents_give_equal_manifests(tmp_path: Path) -> None:
    build(tmp_path / "one")
    build(tmp_path / "two")
    one, two = (files.sha256(tmp_path / name / files.MANIFEST) for name in ("one", "two"))
    assert one == two
    assert sorted(files.verify(tmp_path / "one", two)) == ["b", "inner/a"]


def test_a_folder_is_immutable_unless_replaced(tmp_path: Path) -> None:
    build(tmp_path / "v1")
    with pytest.raises(IntegrityError, match="immutable"):
        build(tmp_path / "v1", "other")
    build(tmp_path / "v1", "other", replace=True)
    assert (tmp_path / "v1" / "inner" / "a").read_text() == "other"
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.building(tmp_path / "v1") as folder:
        (folder / "a").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_f04_a_full_disk_while_a_folder_is_built(tmp_path: Path) -> None:
    with pytest.raises(DiskFull) as caught, files.building(tmp_path / "v1"):
        raise full()
    assert caught.value.where == str(tmp_path / "v1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("replace", [False, True])
def test_f02_a_reader_sees_a_whole_folder_or_none(
    tmp_path: Path, fail: Callable[..., Failing], replace: bool
) -> None:
    seen = set()
    for nth in range(1, 100):
        shutil.rmtree(tmp_path / "registry", ignore_errors=True)
        final = tmp_path / "registry" / "v1"
        fail(1000)
        if replace:
            build(final, "old")
        failing = fail(nth)
        try:
            build(final, "new", replace=replace)
        except OSError:
            if final.exists():
                files.verify(final)
                seen.add((final / "inner" / "a").read_text())
            fail(1000)
            files.sweep(final.parent)
            assert {path.name for path in final.parent.iterdir()} <= {"v1"}
            continue
        break
    assert (final / "inner" / "a").read_text() == "new"
    assert len(failing.seen) > 8
    assert seen == ({"old", "new"} if replace else {"new"})


def damaged(how: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        target = folder / "inner" / "a"
        if how == "changed":
            target.write_text("Weights")
        elif how == "missing":
            target.unlink()
        elif how == "extra":
            (folder / "inner" / "c").touch()
        elif how == "only plain files":
            target.unlink()
            target.symlink_to("/etc/hostname")

    return damage


@pytest.mark.parametrize("how", ["changed", "missing", "extra", "only plain files"])
def test_s12_every_damage_is_noticed_and_named(tmp_path: Path, how: str) -> None:
    build(tmp_path / "v1")
    damaged(how)(tmp_path / "v1")
    with pytest.raises(IntegrityError, match=how) as caught:
        files.verify(tmp_path / "v1")
    assert "inner" in caught.value.where


def test_s12_a_manifest_of_its_own_does_not_help_against_a_recorded_one(tmp_path: Path) -> None:
    build(tmp_path / "v1")
    recorded = files.sha256(tmp_path / "v1" / files.MANIFEST)
    (tmp_path / "v1" / "b").write_text("edited")
    assert files.seal(tmp_path / "v1") != recorded
    files.verify(tmp_path / "v1")
    with pytest.raises(IntegrityError, match="not the one that was recorded"):
        files.verify(tmp_path / "v1", recorded)


@pytest.mark.parametrize("content", ["[]", "3", '{"files": null}', '{"files": ["a"]}', "{}"])
def test_s12_a_manifest_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    build(tmp_path / "v1")
    (tmp_path / "v1" / files.MANIFEST).write_text(content)
    with pytest.raises(IntegrityError, match="The manifest of v1 names no files"):
        files.verify(tmp_path / "v1")


def test_a_folder_without_a_manifest_is_missing(tmp_path: Path) -> None:
    for folder in (tmp_path / "v1", tmp_path):
        with pytest.raises(MissingFiles, match="not on this machine"):
            files.verify(folder)


def test_a_copy_holds_the_same_bytes_and_an_error_stays_what_it_is(
    tmp_path: Path, fail: Callable[..., Failing]
) -> None:
    build(tmp_path / "v1")
    files.copy_folder(tmp_path / "v1", tmp_path / "deep" / "copy")
    files.verify(tmp_path / "deep" / "copy", files.sha256(tmp_path / "v1" / files.MANIFEST))
    fail(2, full())
    with pytest.raises(DiskFull), files.building(tmp_path / "v2") as folder:
        files.copy_folder(tmp_path / "v1", folder / "inner")
    assert not (tmp_path / "v2").exists()


# ---- removing and sweeping ----------------------------------------------------------------------


def test_removing_files_folders_and_nothing(tmp_path: Path) -> None:
    build(tmp_path / "v1")
    (tmp_path / "a").touch()
    for name in ("v1", "a", "absent"):
        files.remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_f02_a_removal_that_fails_leaves_the_folder_whole(
    tmp_path: Path, fail: Callable[..., Failing]
) -> None:
    build(tmp_path / "v1")
    fail(1)
    with pytest.raises(OSError, match="injected"):
        files.remove(tmp_path / "v1")
    files.verify(tmp_path / "v1")
    fail(1000)
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


@pytest.mark.parametrize("again", [True, False])
def test_i4_a_folder_that_was_removed_while_it_was_written_is_not_sealed(
    tmp_path: Path, again: bool
) -> None:
    """`write_text` makes the folder anew: a manifest of the rest alone would be consistent."""
    with (
        pytest.raises(IntegrityError, match="removed meanwhile"),
        files.building(tmp_path / "v1") as folder,
    ):
        files.write_text(folder / "first", "1")
        shutil.rmtree(folder)
        if again:
            files.write_text(folder / "second", "2")
    assert list(tmp_path.iterdir()) == []


def test_sweeping_takes_leftovers_alone(tmp_path: Path) -> None:
    assert files.sweep(tmp_path / "absent") == []
    for name in (".v1.abcd_123.tmp", ".v1.abcd_123.old"):
        (tmp_path / name).mkdir()
    mine = [".env.local.old", ".env.old", ".hidden", "b.tmp", "c"]
    for name in (".a.abcd_123.tmp", *mine):
        (tmp_path / name).touch()
    swept = files.sweep(tmp_path)
    assert [path.name for path in swept] == [
        ".a.abcd_123.tmp",
        ".v1.abcd_123.old",
        ".v1.abcd_123.tmp",
    ]
    assert names(tmp_path) == mine, "what a person put aside is no leftover"


def test_f01_what_a_killed_writer_leaves_is_swept(tmp_path: Path) -> None:
    """Names as they are really made, by writing, building and removing."""
    code = (
        "import os, sys; from pathlib import Path; from onward import files\n"
        "files.operation = lambda kind, path: os._exit(9) if kind == sys.argv[2] else None\n"
        "at = Path(sys.argv[1])\n"
        "files.write_bytes(at / 'a.json', b'1') if sys.argv[2] == 'write' else None\n"
        "with files.building(at / 'v1') as folder: (folder / 'x').touch()\n"
    )
    died = "import os, shutil, sys; from pathlib import Path; from onward import files\n"
    died += "shutil.rmtree = lambda *_, **__: os._exit(9)\nfiles.remove(Path(sys.argv[1]) / 'b')\n"
    (tmp_path / "b").mkdir()
    for script, kind in ((code, "write"), (code, "fsync"), (died, "")):
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path), kind])
        assert done.returncode == 9
    left = files.sweep(tmp_path)
    assert [path.suffix for path in left] == [".tmp", ".old", ".tmp"], left
    assert list(tmp_path.iterdir()) == []


def test_without_a_hook_nothing_happens(tmp_path: Path) -> None:
    assert files._untouched("write", tmp_path) is None
    assert list(tmp_path.iterdir()) == []
