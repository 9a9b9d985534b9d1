"What all run notebooks share: their parameters are explained, and they write where they are told."
import ast, json, os, sys
import pytest
from smfnet.core.files import project_root
from smfnet.core.parameters import run_folder

NOTEBOOKS = sorted((project_root()/'nbs').glob('*.ipynb'))

def parameters(path):
    "Names that the parameters cell declares."
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    source = next(''.join(c['source']) for c in cells if 'parameters' in c['metadata'].get('tags', []))
    return [o.target.id for o in ast.parse(source).body]

@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_papermill_explains_every_parameter(path):
    "papermill --help-notebook leaves out a line that it cannot parse, such as one with '=' in its comment."
    papermill = pytest.importorskip('papermill', reason='the extra [notebooks] is not installed')
    said = papermill.inspect_notebook(str(path))
    assert [k for k in parameters(path) if not said.get(k, {}).get('help')] == []

def test_a_relative_folder_starts_where_the_caller_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_folder('', 'runs/x').resolve() == tmp_path/'runs/x' and run_folder('a/b', 'runs/x').resolve() == tmp_path/'a/b'
    assert (tmp_path/'a/b').is_dir() and not list((tmp_path/'a/b').iterdir())

def test_home_is_spelled_out(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert run_folder('~/mine') == tmp_path/'mine'

def test_a_folder_that_takes_no_files_is_named_with_the_way_out(tmp_path):
    (tmp_path/'file').write_text('')
    with pytest.raises(OSError, match=r"file': it is a file; name another folder, -p out FOLDER"): run_folder(tmp_path/'file')
    with pytest.raises(OSError, match='cannot write into'): run_folder(tmp_path/'file'/'below')

@pytest.mark.skipif(sys.platform == 'win32' or not hasattr(os, 'geteuid') or os.geteuid() == 0, reason='root may write everywhere')
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(OSError, match='Permission denied; name another folder'): run_folder(tmp_path/'x')
    finally: tmp_path.chmod(0o755)

@pytest.mark.parametrize('path', [p for p in NOTEBOOKS if p.stem in ('evaluate','medical','ablation','segmentation','detection','fuse')], ids=lambda p: p.stem)
def test_no_notebook_writes_into_the_clone_by_itself(path):
    "Relative to the caller, by the one function that checks the folder."
    text = path.read_text(encoding='utf-8')
    assert 'run_folder(' in text and 'project_root()' not in text
