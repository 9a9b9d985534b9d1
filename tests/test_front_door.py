"`import smfnet`: few names, each documented, nothing heavy until it is used."
import ast, inspect, subprocess, sys
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
import pytest
import smfnet

root = Path(__file__).resolve().parent.parent
TABLES = ('METRICS', 'MODEL_PRESETS', 'LOSS_PRESETS') # data: described in the docstring of the package

def python(code, **kw): return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, **kw)

def test_importing_it_imports_nothing_heavy():
    r = python("import sys; before = set(sys.modules); import smfnet; dir(smfnet); print(*{m.split('.')[0] for m in set(sys.modules) - before})")
    new = set(r.stdout.split()) - set(sys.stdlib_module_names)
    assert r.returncode == 0 and new == {'smfnet'}, r.stdout + r.stderr

def test_looking_at_the_weights_by_name_is_a_first_use():
    r = python("import sys, smfnet; assert 'torch' not in sys.modules; smfnet.load_model; assert 'torch' in sys.modules; assert 'load_model' in vars(smfnet)")
    assert r.returncode == 0, r.stderr

def test_at_most_forty_names():
    assert len(set(smfnet.__all__)) == len(smfnet.__all__) <= 40
    assert set(dir(smfnet)) == {*smfnet.__all__, '__version__'}

@pytest.mark.parametrize('name', smfnet.__all__)
def test_each_name_is_there_and_says_what_it_is(name):
    value = getattr(smfnet, name)
    assert value is getattr(import_module(f'smfnet.{smfnet._HOME[name]}'), name) and value is getattr(smfnet, name)
    if name in TABLES:
        assert name in smfnet.__doc__ and len(value) > 0
        return
    assert inspect.isfunction(value) or inspect.isclass(value)
    first = (value.__doc__ or '').strip().split('\n')[0]
    assert value.__module__ == f'smfnet.{smfnet._HOME[name]}' and len(first) > 15 and first.endswith('.'), first

def test_type_checkers_see_the_same_names():
    "The imports under TYPE_CHECKING are the table `_HOME`, in the form `a as a`, which re-exports."
    tree = ast.parse((root/'smfnet/__init__.py').read_text(encoding='utf-8'))
    block, = (n for n in tree.body if isinstance(n, ast.If) and getattr(n.test, 'id', '') == 'TYPE_CHECKING')
    seen = {a.name: n.module for n in block.body for a in n.names if a.asname == a.name}
    assert seen == smfnet._HOME
    assert (root/'smfnet/py.typed').exists()

def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'fuze'"): smfnet.fuze
    assert not hasattr(smfnet, '__path_of_nothing__')

def test_version_is_that_of_the_settings():
    ini = ConfigParser(delimiters=['=']); ini.read(root/'settings.ini', encoding='utf-8')
    assert smfnet.__version__ == ini['DEFAULT']['version']

def test_the_lines_of_the_docstring_run(tmp_path):
    "The example of the package's docstring, on one scene."
    s = smfnet.render_scene(0, size=(64,80))
    for f in ('ir','vi'):
        smfnet.write_image(tmp_path/f'{f}.png', getattr(s, f))
        smfnet.write_image(tmp_path/f/'0.png', getattr(s, f))
    code = '\n'.join(l.strip() for l in smfnet.__doc__.splitlines() if l.startswith('    '))
    assert code.count('smfnet.') >= 4
    r = python(code + "\nassert fused.shape == (64,80,3) and 0 <= fused.min() and fused.max() <= 1\nassert not net.training", cwd=tmp_path)
    assert r.returncode == 0, r.stderr[-2000:]
    assert (tmp_path/'out/0.png').exists()
