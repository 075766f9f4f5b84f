"""Every Python block of the README and the docs runs, in order, in an empty folder."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_code_blocks_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "members.csv").write_text(
        "amplitude_id,user_id,plan\n300000000001,ann,pro\n300000000002,bob,free\n"
    )
    names: dict[str, object] = {}
    for block in BLOCK.finditer(document.read_text()):
        line = document.read_text().count("\n", 0, block.start(1))
        code = compile("\n" * line + block[1], str(document), "exec")
        exec(code, names)


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
