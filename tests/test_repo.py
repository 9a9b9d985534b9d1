"The repository agrees with itself: requirements, notebooks and package, README and what it promises."
import configparser, json, os, re, subprocess, sys
from pathlib import Path
import pytest

root = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SHELVES = ('paper', 'tools', 'evidence')
ini = configparser.ConfigParser(delimiters=['=']); ini.read(root/'settings.ini'); ini = ini['DEFAULT']
library = [p for s in SHELVES for p in sorted((root/'nbs'/s).glob('*.ipynb'))]
run = sorted((root/'nbs').glob('*.ipynb'))
label = lambda p: str(p.relative_to(root/'nbs').with_suffix(''))

def call(*args, **kw): return subprocess.run([str(a) for a in args], cwd=root, capture_output=True, text=True, **kw)

def test_every_pin_is_one_that_something_requires():
    names = lambda words: {re.split(r'[<>=!\[]', w)[0].lower() for w in words}
    required = set().union(*(names(v.split()) for k,v in ini.items() if k.endswith('requirements')))
    pins = [l for l in (root/'constraints.txt').read_text().splitlines() if l and not l.startswith('#')]
    assert not names(pins) - required

def test_conda_installs_for_the_python_of_the_settings():
    "environment.yml repeats nothing but the oldest Python; requirements and pins come from settings.ini and constraints.txt."
    words = re.findall(r'^ +- (.+)$', (root/'environment.yml').read_text(), re.M)
    assert words == [f"python>={ini['min_python']}", 'pip', 'pip:', '-c constraints.txt', '-e .[dev]']

def tree(folder): return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob('*.py')}

def test_package_is_what_the_notebooks_export(tmp_path):
    "Export into an empty folder and compare: a hand edit, or a forgotten export, shows."
    code = ("import sys; from nbdev.export import nb_export\n"
            "for p in sys.argv[2:]: nb_export(p, sys.argv[1])")
    r = call(sys.executable, '-c', code, tmp_path/'smfnet', *library, *run); assert r.returncode == 0, r.stderr
    strip = lambda b: [l for l in b.decode().splitlines() if not l.startswith('# %%') and 'File to edit' not in l]
    new, old = tree(tmp_path/'smfnet'), tree(root/'smfnet')
    for name in new: assert strip(new[name]) == strip(old.get(name, b'')), f'{name} is out of step: run nbdev_export'
    assert len(new) > 50 and all(Path(n).name in ('__init__.py', '_modidx.py') for n in set(old) - set(new)), 'modules that no notebook exports'

@pytest.mark.parametrize('path', library + run, ids=label)
def test_notebook_is_clean(path):
    nb = json.loads(path.read_text())
    assert nb['metadata']['kernelspec']['name'] == 'python3'
    for c in nb['cells']:
        assert c.get('execution_count') is None and set(c['metadata']) <= {'tags'}, 'run nbdev_clean'
        assert not [o for o in c.get('outputs', []) if o['output_type'] == 'error']

@pytest.mark.parametrize('path', run, ids=label)
def test_run_notebook_holds_parameters_and_no_library(path):
    cells = [c for c in json.loads(path.read_text())['cells'] if c['cell_type'] == 'code']
    assert not any(c['outputs'] for c in cells), 'run notebooks are stored without outputs'
    assert sum('parameters' in c['metadata'].get('tags', []) for c in cells) == 1
    assert not any(re.search(r'^#\s*\|\s*exports?\b|^class ', ''.join(c['source']), re.M) for c in cells)

def test_nothing_speaks_of_one_machine():
    r = call('git', 'grep', '-nIE', r'/work/|/root/|/home/[a-z]', '--', '.', ':!tests/test_repo.py')
    assert r.returncode in (0,1) and not r.stdout, r.stdout

@pytest.mark.slow
@pytest.mark.parametrize('shelf', SHELVES)
def test_nbdev_test_of_the_library_notebooks(shelf):
    "`nbdev_test --path nbs/paper/03_detail.ipynb --do_print` runs one alone."
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'MPLBACKEND': 'agg'}
    r = call(BIN/'nbdev_test', '--path', root/'nbs'/shelf, '--n_workers', '2', env=env)
    assert r.returncode == 0 and 'Success' in r.stdout, r.stdout[-3000:] + r.stderr[-6000:]

@pytest.mark.parametrize('page', ['README.md', 'MODEL_CARD.md', 'CONTRIBUTING.md', 'CHANGELOG.md'])
def test_pages_name_only_files_that_exist(page):
    text = (root/page).read_text()
    links = re.findall(r'\]\(([^)#]+)(?:#[^)]*)?\)', text) + re.findall(r'src="([^"]+)"', text)
    paths = re.findall(r'`((?:nbs|smfnet|docs|tests|benchmarks|results|workflow)/[\w./-]+\.\w+)`', text)
    missing = [l for l in links + paths if '://' not in l and '_build/' not in l and not (root/l).exists()]
    assert not missing
    if page == 'README.md': assert links

@pytest.mark.parametrize('path', library + run, ids=label)
def test_notebook_links_to_files_that_exist(path):
    text = '\n'.join(''.join(c['source']) for c in json.loads(path.read_text())['cells'] if c['cell_type'] == 'markdown')
    links = re.findall(r'\]\((?!\w+:)([^)#\s]+)(?:#[^)\s]*)?\)', text)
    assert not [l for l in links if not (path.parent/l).exists()]
