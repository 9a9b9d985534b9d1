"The repository agrees with itself: requirements, notebooks and package, README and what it promises."
import configparser, json, os, re, subprocess, sys
from pathlib import Path
import pytest

root = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
RUN = ('train', 'fuse', 'evaluate', 'medical', 'ablation', 'detection', 'segmentation', 'loss_weights')
ini = configparser.ConfigParser(delimiters=['=']); ini.read(root/'settings.ini'); ini = ini['DEFAULT']
notebooks = sorted((root/'nbs').glob('*.ipynb'))

def call(*args, **kw): return subprocess.run([str(a) for a in args], cwd=root, capture_output=True, text=True, **kw)

def test_environment_lists_what_settings_require():
    env = re.findall(r'^      - (.+)$', (root/'environment.yml').read_text(), re.M)
    assert [e for e in env if not e.startswith('-')] == ini['requirements'].split()

def test_every_pin_is_one_that_something_requires():
    names = lambda words: {re.split(r'[<>=!]', w)[0].lower() for w in words}
    required = set().union(*(names(v.split()) for k,v in ini.items() if k.endswith('requirements')))
    pins = [l for l in (root/'constraints.txt').read_text().splitlines() if l and not l.startswith('#')]
    assert not names(pins) - required - {'torchmetrics', 'einops'}

def tree(folder): return {p.name: p.read_bytes() for p in Path(folder).glob('*.py')}

def test_package_is_what_the_notebooks_export(tmp_path):
    "Export into an empty folder and compare: a hand edit, or a forgotten export, shows."
    code = (f"from nbdev.export import nb_export; from pathlib import Path\n"
            f"for p in sorted(Path('nbs').glob('[0-9]*.ipynb')): nb_export(p, {str(tmp_path/'smfnet')!r})")
    r = call(sys.executable, '-c', code); assert r.returncode == 0, r.stderr
    strip = lambda b: [l for l in b.decode().splitlines() if not l.startswith('# %%') and 'File to edit' not in l]
    new, old = tree(tmp_path/'smfnet'), tree(root/'smfnet')
    for name in new: assert strip(new[name]) == strip(old[name]), f'{name} is out of step: run nbdev_export'
    assert set(old) - set(new) <= {'__init__.py', '_modidx.py'}

@pytest.mark.parametrize('path', notebooks, ids=lambda p: p.stem)
def test_notebook_is_clean(path):
    nb = json.loads(path.read_text())
    assert nb['metadata']['kernelspec']['name'] == 'python3'
    for c in nb['cells']:
        assert c.get('execution_count') is None and set(c['metadata']) <= {'tags'}, 'run nbdev_clean'
        assert not [o for o in c.get('outputs', []) if o['output_type'] == 'error']
        if path.stem in RUN: assert not c.get('outputs'), 'run notebooks are stored without outputs'
    if path.stem in RUN:
        src = [''.join(c['source']) for c in nb['cells'] if c['cell_type'] == 'code']
        assert sum('parameters' in c['metadata'].get('tags', []) for c in nb['cells']) == 1
        assert not any('#| export' in s or re.search(r'^class ', s, re.M) for s in src)

@pytest.mark.parametrize('path', [p for p in notebooks if p.stem[:2].isdigit()], ids=lambda p: p.stem)
def test_exported_cells_are_short_and_checked(path):
    code = [''.join(c['source']) for c in json.loads(path.read_text())['cells'] if c['cell_type'] == 'code']
    lines = [len([l for l in s.split('\n') if l.strip() and not l.lstrip().startswith('#|')]) for s in code if re.search(r'^#\s*\|\s*exports?\b', s, re.M)]
    checks = sum(bool(re.search(r'\bassert\b|\btest_\w+\(|expect_fail', s)) for s in code)
    if lines: assert max(lines) <= 40 and checks >= len(lines)/2

def test_nothing_speaks_of_one_machine():
    r = call('git', 'grep', '-nIE', r'/work/|/root/|/home/[a-z]', '--', '.', ':!tests/test_repo.py')
    assert r.stdout == '' or not r.stdout, r.stdout

def test_no_cuda_in_the_package():
    for p in (root/'smfnet').glob('*.py'): assert '.cuda(' not in p.read_text(), p.name

@pytest.mark.slow
def test_nbdev_test_of_the_library_notebooks():
    r = call(BIN/'nbdev_test', '--n_workers', '2', '--skip_file_re', f"^(_|{'|'.join(RUN)})", env={**os.environ, 'OMP_NUM_THREADS': '1', 'MPLBACKEND': 'agg'})
    assert r.returncode == 0, r.stdout[-3000:] + r.stderr[-6000:]

def readme_commands():
    text = (root/'README.md').read_text()
    return [l.strip() for block in re.findall(r'```(?:sh|bash)\n(.*?)```', text, re.S) for l in block.splitlines() if l.strip() and not l.startswith('#')]

def test_readme_names_only_files_that_exist():
    text = (root/'README.md').read_text()
    links = re.findall(r'\]\(([^)#]+)\)', text) + re.findall(r'src="([^"]+)"', text)
    missing = [l for l in links if '://' not in l and not (root/l).exists()]
    assert links and not missing
