"What papermill gave a run notebook."
import pytest
from smfnet.core.parameters import _declared, _injected, _problem, changed_parameters, check_parameters, papermill_command

CELL = 'stage:int = 1     # 1 or 2\nlr:float = 1e-4\nout:str = None'

def test_what_is_declared():
    assert _declared(CELL) == {'stage': 'int', 'lr': 'float', 'out': 'str | None'}

@pytest.mark.parametrize('source', ['import os', 'a = 1', 'a:int = 1\nprint(a)', 'a:int = ', 'a:int', '', '%matplotlib inline'])
def test_other_cells_declare_nothing(source): assert _declared(source) is None

def test_what_was_injected():
    assert _injected('# Parameters\nstage = 2\nepoch = 3\n') == ['stage', 'epoch']
    assert _injected('stage = 2') == []

@pytest.mark.parametrize('value, kind', [(1,'int'), (1,'float'), (None,'float | None'), ('a','str|None'), (True,'bool'), ([1],'list')])
def test_values_that_fit(value, kind): assert _problem('p', value, kind) is None

@pytest.mark.parametrize('value, kind', [(1.5,'int'), (True,'int'), (1,'bool'), (None,'str'), ('two','int | None')])
def test_values_that_do_not(value, kind): assert _problem('p', value, kind).startswith(f'parameter p must be {kind.replace(" | ", " or ")}, not')

def test_text_that_looks_like_a_number():
    assert _problem('ir', 7, 'str') == "parameter ir must be str, not 7; papermill's -r passes text as it stands"

def given(added='', **change):
    "What a run notebook gets whose parameters cell is followed by `added`."
    ns = {}
    exec(CELL + '\n' + added, ns)
    return check_parameters(ns | change, ['', 'import os', CELL, added, 'check_parameters()'])

def test_values_reach_the_notebook():
    p = given('# Parameters\nstage = 2\nlr = 1\n')
    assert p == {'stage': 2, 'lr': 1., 'out': None} and type(p['lr']) is float and list(p) == ['stage', 'lr', 'out']

@pytest.mark.parametrize('added, says', [
    ('# Parameters\nstag = 2',    r'there is no parameter stag \(is stage meant\?\)'),
    ('# Parameters\ncolour = 2',  'there is no parameter colour; there are stage, lr, out'),
    ("# Parameters\nstage = 'two'", "stage must be int, not 'two'"),
    ("# Parameters\nstag = 2\nlr = 'x'", "no parameter stag .*; parameter lr must be float, not 'x'")])
def test_slips_are_named(added, says):
    with pytest.raises(ValueError, match=says): given(added)

def test_outside_a_run_notebook():
    with pytest.raises(ValueError, match='no parameters cell'): check_parameters({}, ['import os'])
    with pytest.raises(RuntimeError, match='call it inside one'): check_parameters()

def test_changed_parameters_are_those_that_differ():
    assert changed_parameters(dict(stage=1, lr=1e-3, out=None), ['import os', CELL, '# Parameters\nlr = 1e-3']) == {'lr': 1e-3}

def test_the_next_command_is_one_for_a_shell(monkeypatch, tmp_path):
    from smfnet.core.files import project_root
    monkeypatch.chdir(project_root())
    got = papermill_command('train', 'runs/t.ipynb', dict(stage=2, data='my pairs', note='7', off=None))
    assert got == "papermill nbs/train.ipynb runs/t.ipynb -p stage 2 -p data 'my pairs' -r note 7"
    monkeypatch.chdir(project_root()/'nbs')
    assert papermill_command('fuse', 'x.ipynb', {}) == 'papermill fuse.ipynb x.ipynb'

def test_a_notebook_opened_in_nbs_writes_into_the_clone(monkeypatch, tmp_path):
    from smfnet.core import parameters
    (tmp_path/'nbs').mkdir()
    monkeypatch.setattr(parameters, 'project_root', lambda: tmp_path)
    monkeypatch.chdir(tmp_path/'nbs')
    assert parameters.run_folder('', 'runs/x') == tmp_path/'runs/x' and not (tmp_path/'nbs/runs').exists()
    assert parameters.run_path('f.png') == tmp_path/'f.png' and parameters.run_path('/a/f.png', 'x') == parameters.Path('/a/f.png')
