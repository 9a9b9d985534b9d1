"The documentation site, built once for all tests that look at it, however many processes run them."
import fcntl, importlib.util, os, subprocess, sys
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[2]

@pytest.fixture(scope='session')
def build():
    "docs/build.py as a module."
    spec = importlib.util.spec_from_file_location('docs_build', ROOT/'docs/build.py')
    module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
    return module

@pytest.fixture(scope='session')
def site(tmp_path_factory) -> Path:
    "Folder of the HTML, which all processes of one run share; skipped without the extra [docs]."
    for name in ('myst_nb', 'sphinx_book_theme'): pytest.importorskip(name, reason='the extra [docs] is not installed')
    base = tmp_path_factory.getbasetemp()
    if os.environ.get('PYTEST_XDIST_WORKER'): base = base.parent
    with open(base/'site.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base/'site/done').exists():
            env = {**os.environ, 'SMFNET_DATA': '', 'OMP_NUM_THREADS': '1', 'MPLBACKEND': 'agg', 'http_proxy': 'http://127.0.0.1:9', 'https_proxy': 'http://127.0.0.1:9'} # no network
            r = subprocess.run([sys.executable, ROOT/'docs/build.py', base/'site'], capture_output=True, text=True, env=env)
            assert r.returncode == 0, r.stdout[-2000:] + r.stderr[-4000:]
            (base/'site/done').write_text(r.stderr)
    return base/'site/html'
