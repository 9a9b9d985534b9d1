"Wheel and sdist: what a user gets who has neither the clone nor an extra."
import email, os, re, subprocess, sys, tarfile, venv, zipfile
from pathlib import Path
import numpy as np
import pytest
from smfnet.data.images import read_image, write_image
from smfnet.data.scenes.render import render_scene

root = Path(__file__).resolve().parent.parent
UNWANTED = {'jupyterlab', 'nbdev', 'papermill', 'voila', 'matplotlib', 'accelerate', 'kornia', 'scikit-image', 'scipy', 'pandas'}
pytestmark = [pytest.mark.slow, pytest.mark.release]

def call(*args, cwd, **kw):
    "Run it; what it printed."
    r = subprocess.run([str(a) for a in args], cwd=cwd, capture_output=True, text=True, **kw)
    assert r.returncode == 0, f'{args}\n{r.stdout[-2000:]}\n{r.stderr[-3000:]}'
    return r.stdout

@pytest.fixture(scope='module')
def dist(tmp_path_factory):
    "Wheel and sdist of the tracked files and what is new among them; built from a copy, so that the clone stays clean."
    d = tmp_path_factory.mktemp('dist')
    files = call('git', 'ls-files', '-co', '--exclude-standard', '-z', cwd=root).split('\0')
    for f in filter(None, files):
        if not (root/f).is_file(): continue
        (d/'src'/f).parent.mkdir(parents=True, exist_ok=True)
        (d/'src'/f).write_bytes((root/f).read_bytes())
    call(sys.executable, '-m', 'build', '--no-isolation', '--outdir', d/'out', d/'src', cwd=d)
    wheel, = (d/'out').glob('*.whl')
    sdist, = (d/'out').glob('*.tar.gz')
    return {'wheel': wheel, 'sdist': sdist}

@pytest.fixture(scope='module')
def place(tmp_path_factory):
    "A fresh environment, and a folder with two JPEG files."
    d = tmp_path_factory.mktemp('user')
    venv.create(d/'env', with_pip=True)
    s = render_scene(0, size=(96,128))
    write_image(d/'a.jpg', s.ir); write_image(d/'b.jpg', s.vi)
    return d

def test_wheel_holds_the_package_and_its_data(dist):
    names = set(zipfile.ZipFile(dist['wheel']).namelist())
    here = {str(p.relative_to(root)) for p in (root/'smfnet').rglob('*') if p.is_file() and '__pycache__' not in p.parts}
    assert here == {n for n in names if n.startswith('smfnet/')}
    assert {'smfnet/py.typed', 'smfnet/weights/ivf.safetensors'} <= here

def test_readme_on_a_package_index_leads_nowhere_wrong(dist):
    z = zipfile.ZipFile(dist['wheel'])
    meta = email.message_from_bytes(z.read(next(n for n in z.namelist() if n.endswith('/METADATA'))))
    text = meta.get_payload()
    assert len(text) > 3000 and meta['Description-Content-Type'] == 'text/markdown' and meta['Requires-Python'].startswith('>=3')
    assert not re.findall(r'\]\((?!\w+:|#)[^)]*\)|src="(?!\w+:)[^"]*"', text)
    assert not re.findall(r'<p[^>]*>\s*</p>', text)

def test_sdist_holds_what_its_setup_reads_and_the_notebooks(dist):
    names = {n.split('/', 1)[-1] for n in tarfile.open(dist['sdist']).getnames()}
    assert {'settings.ini', 'setup.py', 'README.md', 'LICENSE', 'constraints.txt', 'nbs/fuse.ipynb', 'nbs/paper/03_detail.ipynb'} <= names

@pytest.mark.parametrize('kind', ['wheel', 'sdist'])
def test_installed_without_extras_it_fuses_in_another_folder(dist, place, kind):
    bin, env = place/'env/bin', {k: v for k,v in os.environ.items() if k not in ('PYTHONPATH', 'SMFNET_DATA')}
    run = lambda *a: call(*a, cwd=place, env=env)
    run(bin/'pip', 'install', '-q', '-c', root/'constraints.txt', dist[kind])
    installed = {l.split('==')[0].lower() for l in run(bin/'pip', 'list', '--format', 'freeze').splitlines()}
    assert 'smfnet' in installed and not installed & UNWANTED
    run(bin/'python', '-c', "import smfnet, sys; assert 'torch' not in sys.modules and 'numpy' not in sys.modules")
    run(bin/'smfnet_fuse', 'a.jpg', 'b.jpg', 'c.png')
    fused = read_image(place/'c.png')
    assert fused.shape == (96,128,3) and np.ptp(fused) > .3
    (place/'c.png').unlink()
    run(bin/'python', '-c', "import smfnet; s = smfnet.score(smfnet.fuse('a.jpg','b.jpg'), 'a.jpg', 'b.jpg'); assert set(s) == set(smfnet.METRICS), s")
    for command in ('smfnet_evaluate', 'smfnet_train'): assert 'usage' in run(bin/command, '--help')
    run(bin/'pip', 'uninstall', '-q', '-y', 'smfnet')
