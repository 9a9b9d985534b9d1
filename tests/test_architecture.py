"The house stands as it is drawn: imports run one way, rooms are small, importing needs the core requirements alone."
import ast, re, subprocess, sys
from configparser import ConfigParser
from pathlib import Path
import pytest

root = Path(__file__).resolve().parent.parent
package = root/'smfnet'
ROOMS = ('core', 'data', 'network', 'losses', 'metrics', 'fusing', 'training', 'scoring', 'studies', 'companion')
ORDER = {'': -1} | {r: i for i,r in enumerate(ROOMS)} # '' is the front door, of which only the version may be imported
HEAVY = {'companion.panels', 'companion.tryit'} # those that need an extra to be imported
MODULE_OF = dict(Pillow='PIL') # distribution -> what it is imported as, where that differs
MAX_LINES, MAX_WIDTH, MAX_WIDE = 500, 120, 20

def modules():
    "Dotted name below smfnet -> file, of every module that notebooks export."
    files = (p for p in sorted(package.rglob('*.py')) if p.name not in ('__init__.py', '_modidx.py'))
    return {'.'.join(p.relative_to(package).with_suffix('').parts): p for p in files}

MODULES = modules()
TREES = {m: ast.parse(p.read_text(encoding='utf-8')) for m,p in MODULES.items()}
room = lambda module: module.split('.')[0]

def imports(module, tree=None):
    "(module of the project, name or None, node) of each import of the project in `module`."
    here = ['smfnet', *module.split('.')]
    for node in ast.walk(tree or TREES[module]):
        if isinstance(node, ast.ImportFrom):
            full = '.'.join([*here[:len(here)-node.level], *filter(None, [node.module])]) if node.level else node.module
            names = [a.name for a in node.names]
        elif isinstance(node, ast.Import): full, names = None, [a.name for a in node.names]
        else: continue
        for name in names:
            target, what = (full, name) if full else (name, None)
            if target.split('.')[0] != 'smfnet': continue
            inner = f'{target}.{what}'[7:]
            if inner in MODULES: yield inner, None, node # from . import module
            else: yield target[7:], what, node

def test_the_reader_of_imports_sees_every_form():
    "The tests below are only as good as `imports`."
    code = ('from ..network.model import SMFNet\nfrom . import api\nfrom smfnet.core.files import atomic_path\nimport smfnet.data.pairs, torch\n'
            'from .. import __version__\ndef f():\n    from ..training.state import _f as g\n')
    seen = [(m,n) for m,n,_ in imports('fusing.folders', ast.parse(code))]
    assert sorted(seen, key=str) == sorted([('network.model','SMFNet'), ('fusing.api',None), ('core.files','atomic_path'), ('data.pairs',None),
                                            ('','__version__'), ('training.state','_f')], key=str)

def test_every_module_lies_in_a_room():
    assert {room(m) for m in MODULES} == set(ROOMS)
    assert all((package/r/'__init__.py').exists() for r in ROOMS)

def test_imports_run_one_way_between_rooms():
    back = [f'{m} imports {t}' for m in MODULES for t,_,_ in imports(m) if t and ORDER[room(t)] > ORDER[room(m)]]
    assert not back, f"these arrows run back (order: {' → '.join(ROOMS)}):\n" + '\n'.join(back)
    door = [f'{m} imports {n} of the front door' for m in MODULES for t,n,_ in imports(m) if not t and n != '__version__']
    assert not door, door

def test_no_cycle_within_a_room():
    arrows = {m: {t for t,_,_ in imports(m)} & set(MODULES) - {m} for m in MODULES}
    left = dict(arrows)
    while free := [m for m in left if not arrows[m] & set(left)]:
        for m in free: del left[m]
    assert not left, f'these import each other: {left}'

def test_no_import_of_the_project_inside_a_function():
    for m,tree in TREES.items():
        inside = {id(n) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) for n in ast.walk(f)}
        hidden = [f'{m}, line {n.lineno}: {t}' for t,_,n in imports(m) if id(n) in inside]
        assert not hidden, hidden

def test_private_names_stay_in_their_room():
    taken = [f'{m} takes {t}.{n}' for m in MODULES for t,n,_ in imports(m)
             if n and n.startswith('_') and not n.startswith('__') and room(t) != room(m)]
    assert not taken, taken

def test_rooms_are_small():
    sizes = {m: len(p.read_text(encoding='utf-8').splitlines()) for m,p in MODULES.items()}
    assert not {m: n for m,n in sizes.items() if n > MAX_LINES}

def test_few_lines_are_wide():
    wide = [f'{p.relative_to(root)}:{i}' for p in MODULES.values()
            for i,l in enumerate(p.read_text(encoding='utf-8').splitlines(), 1) if len(l) > MAX_WIDTH and not l.startswith('__all__')] # nbdev writes that line
    assert len(wide) <= MAX_WIDE, f'{len(wide)} lines are over {MAX_WIDTH} characters:\n' + '\n'.join(wide)

def core_requirements():
    "Top-level modules of what `pip install smfnet` brings."
    ini = ConfigParser(delimiters=['=']); ini.read(root/'settings.ini', encoding='utf-8')
    names = [re.split(r'[<>=!\[]', w)[0] for w in ini['DEFAULT']['requirements'].split()]
    return {MODULE_OF.get(n, n) for n in names}

# The hook refuses what a module of smfnet itself asks for; what torch or tqdm try for themselves is their affair.
HOOK = """
import builtins, importlib, sys
allowed, modules = set(sys.argv[1].split(',')) | set(sys.stdlib_module_names) | {'smfnet'}, sys.argv[2].split(',')
plain = builtins.__import__
def guarded(name, globals=None, locals=None, fromlist=(), level=0):
    by = (globals or {}).get('__name__', '')
    if level == 0 and by.startswith('smfnet') and name.split('.')[0] not in allowed: raise ImportError(f'{by} imports {name}, which is not a core requirement')
    return plain(name, globals, locals, fromlist, level)
builtins.__import__ = guarded
for m in modules: importlib.import_module('smfnet.' + m)
"""

def test_every_module_imports_with_the_core_requirements():
    "Everything else is imported inside the function that needs it; the panels are widgets through and through."
    light = [m for m in MODULES if m not in HEAVY]
    r = subprocess.run([sys.executable, '-c', HOOK, ','.join(core_requirements()), ','.join(light)], cwd=root, capture_output=True, text=True)
    assert r.returncode == 0, r.stderr[-2000:]

def test_the_hook_refuses_what_is_not_core():
    "Without torch among the allowed, the first module that needs it must fail."
    r = subprocess.run([sys.executable, '-c', HOOK, 'numpy', 'core.devices'], cwd=root, capture_output=True, text=True)
    assert r.returncode != 0 and 'smfnet.core.devices imports' in r.stderr and 'not a core requirement' in r.stderr

@pytest.mark.parametrize('name', ROOMS)
def test_each_room_has_its_tests(name): assert list((root/'tests'/name).rglob('test_*.py')), f'no tests in tests/{name}/'
