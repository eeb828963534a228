import subprocess

import pytest

from gateway_tuning import __version__
from gateway_tuning.registry.code_version import CodeVersion, code_version_of


@pytest.fixture
def checkout(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    (tmp_path / "code.py").write_text("1")
    git("add", "code.py")
    git("commit", "-m", "first")
    return tmp_path, git("rev-parse", "HEAD")


def test_a_checkout_tells_its_commit_and_whether_files_differ(checkout):
    root, commit = checkout

    assert code_version_of(root) == CodeVersion(__version__, commit, changed=False)
    (root / "code.py").write_text("2")
    assert code_version_of(root) == CodeVersion(__version__, commit, changed=True)
    assert str(code_version_of(root)) == f"{__version__}, commit {commit[:12]}, with changes"


def test_a_repository_around_the_package_is_not_its_own(checkout):
    root, _ = checkout
    (root / "site-packages").mkdir()

    assert code_version_of(root / "site-packages") == CodeVersion(__version__)
    assert str(CodeVersion(__version__)) == f"{__version__}, commit not known"


def test_an_empty_repository_has_no_commit(tmp_path):
    subprocess.run(["git", "init", str(tmp_path)], check=True, capture_output=True)

    assert code_version_of(tmp_path) == CodeVersion(__version__)
