"""The README and the docs do what they show: every block runs, in order, in an empty folder.

One namespace per page, in an empty folder; buckets are those of a server of moto. A ```text block
right after a ```python block is what that block prints, and `...` is any text. In a ```console
block, lines with a prompt run in a shell and the others are what it prints. Blocks of other kinds
(```py, ```sh) are not run.
"""

import doctest
import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(
    r"^```(?:python\n(?P<code>.*?)^```\n(?:\n+```text\n(?P<printed>.*?)^```$)?"
    r"|console\n(?P<console>.*?)^```$)",
    re.DOTALL | re.MULTILINE,
)


@pytest.fixture(scope="module")
def s3():
    """A client of a server of moto, made from the environment that the pages have too."""
    server = ThreadedMotoServer(port=0)
    server.start()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MPLBACKEND": "agg",
        }.items():
            environment.setenv(name, value)
        yield boto3.client("s3")
    server.stop()


@pytest.fixture
def folder(s3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return an empty folder, with an empty bucket `my-bucket` on the server."""
    request = Request(f"{s3.meta.endpoint_url}/moto-api/reset", method="POST")
    urlopen(request).close()
    s3.create_bucket(
        Bucket="my-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_blocks_do_what_they_show(document: Path, folder: Path):
    text = document.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "__page__"}
    for block in BLOCK.finditer(text):
        if block["console"] is not None:
            run_console(block["console"])
            continue
        line = text.count("\n", 0, block.start("code"))
        code = compile("\n" * line + block["code"], str(document), "exec")
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(code, names)
        if block["printed"] is not None:
            assert_shown(printed.getvalue(), block["printed"])


@pytest.mark.parametrize(
    "page",
    sorted(set(ROOT.glob("docs/reference/*.md")) - {ROOT / "docs/reference/index.md"}),
    ids=lambda path: path.name,
)
def test_each_page_of_the_reference_begins_with_an_example_that_shows_what_it_prints(page: Path):
    text = page.read_text(encoding="utf-8")
    example = BLOCK.search(text)
    assert example
    assert example["printed"] or example["console"]
    assert not re.search(r"^(%|##|```\{)", text[: example.start()], re.MULTILINE)


def run_console(console: str) -> None:
    for command in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        line, _, shown = command.partition("\n")
        while line.endswith("\\"):
            more, _, shown = shown.partition("\n")
            line = f"{line}\n{more}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        assert_shown(done.stdout, shown)


def assert_shown(printed: str, shown: str) -> None:
    same = doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS)
    assert same or printed == shown


def test_a_page_that_shows_something_else_is_found(folder: Path):
    for page in ("```python\nprint(1)\n```\n\n```text\n2\n```", "```console\n$ echo 1\n2\n```"):
        wrong = folder / "wrong.md"
        wrong.write_text(page)
        with pytest.raises(AssertionError):
            test_the_blocks_do_what_they_show(wrong, folder)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_lead_to_files(name: str):
    links = re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_each_command_of_nox_is_a_session():
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    sessions = set(re.findall(r"^def (\w+)\(session", noxfile, re.MULTILINE))
    for document in (*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / ".ci" / "run"):
        text = document.read_text(encoding="utf-8")
        named = set(re.findall(r"nox -s (\w+)", text))  # of units-3.12, the part before the hyphen
        assert named <= sessions, document


def test_the_quickstart_prints_what_the_folder_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import quickstart  # noqa: PLC0415

    quickstart.main(str(tmp_path / "bucket"))
    printed = capsys.readouterr().out
    csv_files = sorted(p.name for p in (tmp_path / "bucket" / "cohorts").glob("*.csv"))
    assert len(csv_files) == 9
    for name in csv_files:
        assert name in printed
    assert "1,227 members" in printed
    assert "20 of them returned" in printed
