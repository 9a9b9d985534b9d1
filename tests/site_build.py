"The documentation site, built once for all tests that look at it, however many processes run them."
import fcntl, functools, os, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

@functools.lru_cache
def built_site(base:Path) -> Path: # folder of the HTML
    "Build below `base`, which the processes of one test run share."
    with open(base/'site.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base/'site/done').exists():
            env = {**os.environ, 'SMFNET_DATA': '', 'OMP_NUM_THREADS': '1', 'MPLBACKEND': 'agg', 'http_proxy': 'http://127.0.0.1:9', 'https_proxy': 'http://127.0.0.1:9'} # no network
            r = subprocess.run([sys.executable, ROOT/'docs/build.py', base/'site'], capture_output=True, text=True, env=env)
            assert r.returncode == 0, r.stdout[-2000:] + r.stderr[-4000:]
            (base/'site/done').write_text(r.stderr)
    return base/'site/html'

def shared_base(tmp_path_factory) -> Path:
    "A folder that all workers of one run of pytest share."
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get('PYTEST_XDIST_WORKER') else base
