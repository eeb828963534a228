"""The documentation as a site: built strictly, and loading nothing from elsewhere."""

import os
import re
import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT, pages

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="mkdocs-material is in the extra `dev`")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_of_the_documentation_is_on_the_site_and_in_its_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    wanted = {
        str(page.relative_to(ROOT / "docs").with_suffix(".html")).replace("README.html", "index.html")
        for page in pages()
        if page.is_relative_to(ROOT / "docs")
    }

    assert [name for name in sorted(wanted) if not (site / name).exists()] == []
    assert [name for name in sorted(wanted - {"index.html"}) if f'href="{name}"' not in home] == []


def test_pages_of_the_project_that_are_linked_are_on_the_site(site):
    home = (site / "index.html").read_text(encoding="utf-8")

    assert 'href="project/benchmarks/index.html"' in home
    assert (site / "project" / "benchmarks" / "index.html").exists()
    assert (site / "project" / "CONTRIBUTING.html").exists()


def test_no_page_loads_anything_from_elsewhere(site):
    loads = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?(https?:[^\"\s>]+)|<link[^>]*\shref=\"?(https?:[^\"\s>]+)"
    )
    found = {
        match[0]
        for page in site.rglob("*.html")
        for match in loads.finditer(page.read_text(encoding="utf-8"))
        if 'rel="canonical"' not in match[0]
    }

    assert found == set()
    assert not re.search(
        r"@import\s+url\(|url\(https?:", "".join(path.read_text() for path in site.rglob("*.css"))
    )


def test_the_picture_of_the_loop_is_on_the_page_of_concepts(site):
    assert 'src="pictures/loop.svg"' in (site / "concepts.html").read_text(encoding="utf-8")
    assert (site / "pictures" / "loop.svg").exists()


def test_the_code_that_builds_the_site_is_not_on_it(site):
    assert not (site / "site").exists()
