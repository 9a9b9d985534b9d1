"The workflow over papermill runs: what it would do, and that a killed one goes on with what is left."
import os, re, signal, subprocess, sys, time
from pathlib import Path
import pytest
from smfnet.core.files import project_root
from smfnet.scoring.score import read_rows
from smfnet.studies.budgets import ABLATION
from smfnet.studies.runs import Run

ROOT = project_root()
BIN = Path(sys.executable).parent
ENV = {**os.environ, 'OMP_NUM_THREADS': '1', 'SMFNET_DATA': ''}

def command(folder, preset, *more):
    return [BIN/'snakemake', '-s', ROOT/'workflow/Snakefile', '--workflow-profile', ROOT/'workflow/profiles/local', '--directory', folder, '--config', f'preset={preset}', *more]

def start(folder, preset, *more): return subprocess.Popen([str(o) for o in command(folder, preset, *more)], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)

def counts(text):
    "Jobs by rule, from the table that Snakemake prints."
    return {a: int(b) for a,b in re.findall(r'^(\w+) +(\d+)$', text, re.M)}

@pytest.mark.slow
def test_plan_of_a_sweep(tmp_path):
    pytest.importorskip('snakemake')
    p = start(tmp_path, 'small', '-n'); out,_ = p.communicate(timeout=300)
    assert p.returncode == 0, out[-3000:]
    n, b = counts(out), ABLATION['small']
    runs = len(b.items)*len(b.seeds)
    shared = {str(f) for s in b.seeds for k in b.items if (f := Run(k, b, s, Path('.')).files().get('stage1'))}
    assert (n['stage1'], n['stage2'], n['fuse'], n['score'], n['ablation_table']) == (len(shared), runs, runs, runs, 1) and len(shared) < runs
    assert (n['medical_fuse'], n['medical_score'], n['mif_stage2'], n['medical_table']) == (6, 6, 1, 1) and 'mif_stage1' not in n

@pytest.mark.slow
def test_killed_workflow_goes_on_with_what_is_left(tmp_path):
    pytest.importorskip('snakemake')
    done = lambda: {f: f.stat().st_mtime_ns for pattern in ('**/stage?.safetensors', '**/fused.json', '**/scores.csv') for f in tmp_path.glob(pattern)}
    p = start(tmp_path, 'ci')
    end = time.time() + 900
    while len(done()) < 4 and p.poll() is None and time.time() < end: time.sleep(.2)
    assert p.poll() is None, p.communicate()[0][-3000:]
    os.killpg(p.pid, signal.SIGKILL); p.communicate()
    time.sleep(3) # a kernel notices within a second that nobody waits for it
    before = done()
    p = start(tmp_path, 'ci')
    try: out,_ = p.communicate(timeout=1500)
    finally:
        if p.poll() is None: os.killpg(p.pid, signal.SIGKILL)
    assert p.returncode == 0, out[-4000:]
    kept = [f for f,t in before.items() if f.stat().st_mtime_ns == t]
    total = 1 + 3*len(ABLATION['ci'].items) + 2 + 4 + 3   # stage I; stage II, fuse, score of each row; mif; medical fuse and score; tables and the closing rule
    assert len(before) - len(kept) <= 2, 'more was made again than the two jobs that were under way'
    assert len(kept) >= 2 and counts(out)['total'] == total - len(kept)
    assert {r['row'] for r in read_rows(tmp_path/'ablation/ablation.csv')} == set(ABLATION['ci'].items)
    assert 'SMFNet, mif' in (tmp_path/'medical/medical.md').read_text() and '# Ablation' in (tmp_path/'ablation/ablation.md').read_text()
    p = start(tmp_path, 'ci'); out,_ = p.communicate(timeout=300)
    assert p.returncode == 0 and 'Nothing to be done' in out
