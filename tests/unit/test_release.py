"""The parts of `make release`. The whole takes minutes and needs npm: `make release-check` runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from scripts import release
from scripts.release import bundle_component, commit_time_s, differences, pack, write_checksums
from scripts.release_installs import pythons, read_wheel


def tree(folder: Path, *, mode: int, time_s: int) -> Path:
    """Make a folder of two files with these modes and times."""
    (folder / "site" / "a").mkdir(parents=True)
    for name in ("b.html", "a/c.html"):
        path = folder / "site" / name
        path.write_text(name)
        path.chmod(mode)
        os.utime(path, (time_s, time_s))
    return folder / "site"


def test_archives_of_equal_files_are_equal(tmp_path: Path) -> None:
    """Whoever owns the files, whatever their times are, and wherever they are."""
    archives = [tmp_path / name for name in ("one.tar.gz", "other.tar.gz")]
    pack([tree(tmp_path / "one", mode=0o600, time_s=1_000_000_000)], archives[0])
    pack([tree(tmp_path / "elsewhere", mode=0o664, time_s=1_700_000_000)], archives[1])
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with tarfile.open(archives[0]) as files:
        assert files.getnames() == ["site", "site/a", "site/a/c.html", "site/b.html"]
        assert {(one.mtime, one.uid, one.uname) for one in files.getmembers()} == {(commit_time_s(), 0, "root")}
        assert {one.mode for one in files.getmembers() if one.isfile()} == {0o644}


def test_a_file_that_differs_or_is_missing_is_named(tmp_path: Path) -> None:
    for build, texts in {"one": {"same": "1", "other": "1", "gone": "1"}, "two": {"same": "1", "other": "2"}}.items():
        (tmp_path / build).mkdir()
        for name, text in texts.items():
            (tmp_path / build / name).write_text(text)
    assert differences(tmp_path / "one", tmp_path / "two") == ["gone", "other"]
    assert differences(tmp_path / "one", tmp_path / "one") == []


def test_sha256sum_accepts_the_checksums_and_detects_a_change(tmp_path: Path) -> None:
    (tmp_path / "one.whl").write_bytes(b"one")
    (tmp_path / "two.tar.gz").write_bytes(b"two")
    write_checksums(tmp_path)
    check = ["sha256sum", "--check", "--status", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path, check=False).returncode == 0
    (tmp_path / "two.tar.gz").write_bytes(b"other")
    assert subprocess.run(check, cwd=tmp_path, check=False).returncode != 0


def test_the_list_of_parts_names_the_bundle_of_the_reference(tmp_path: Path) -> None:

    bundle = tmp_path / release.BUNDLE
    bundle.parent.mkdir(parents=True)
    bundle.write_bytes(b"bundle")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "fetch-reference").write_text("#!/bin/sh\nversion=1.2.3\n")
    component = bundle_component(tmp_path)
    assert component["purl"] == "pkg:npm/%40scalar/api-reference@1.2.3"
    assert component["hashes"][0]["content"] == release.sha256(bundle)


def test_every_python_is_found_once_and_this_one_is_among_them() -> None:
    found = pythons()
    here = ".".join(map(str, sys.version_info[:2]))
    minors = [number.rpartition(".")[0] for number in found]
    assert here in minors
    assert len(minors) == len(set(minors))


def test_a_wheel_says_which_pythons_packages_and_commands_it_has(tmp_path: Path) -> None:
    path = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing/__init__.py", "")
        archive.writestr("thing-1.0.dist-info/METADATA", "Name: thing\nVersion: 1.0\nRequires-Python: >=3.11\n\nText\n")
        archive.writestr("thing-1.0.dist-info/entry_points.txt", "[console_scripts]\nthing = thing:main\n")
    wheel = read_wheel(path)
    assert (wheel.packages, wheel.commands) == (("thing",), ("thing",))
    assert [number for number in ("3.9.18", "3.11.2", "3.13.0") if wheel.requires_python.contains(number)] == [
        "3.11.2",
        "3.13.0",
    ]
