"Records of the run notebooks: what is kept of an output, that figures are sharp and small, and that the site still finds a cell for what was recorded."
import base64, importlib.util, io, json, os
from pathlib import Path
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

@pytest.fixture(scope='module')
def record():
    spec = importlib.util.spec_from_file_location('docs_record', ROOT/'docs/record.py')
    module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
    return module

def png(x):
    out = io.BytesIO(); Image.fromarray(x).save(out, 'png', compress_level=0)
    return base64.b64encode(out.getvalue()).decode()

def decoded(s): return Image.open(io.BytesIO(base64.b64decode(s)))

def test_an_output_is_kept_without_paths_and_progress(record):
    grey = np.repeat(np.arange(64, dtype=np.uint8).reshape(8,8,1), 3, -1)
    outputs = [dict(output_type='stream', name='stderr', text='10 %'), dict(output_type='stream', name='stdout', text=f'{record.ROOT}/runs/a'),
               dict(output_type='execute_result', execution_count=3, metadata={'image/png': dict(width=4, height=4), 'x': 1}, data={'image/png': png(grey)})]
    nb = dict(cells=[dict(cell_type='code', source='a', metadata=dict(tags=['t'], papermill={}), execution_count=3, outputs=outputs)], metadata=dict(kernelspec={}, papermill={}))
    c = record.clean(nb)['cells'][0]
    text, picture = c['outputs']
    assert text['text'] == 'runs/a' and c['metadata'] == dict(tags=['t']) and c['execution_count'] is picture['execution_count'] is None and list(nb['metadata']) == ['kernelspec']
    assert picture['metadata'] == {'image/png': dict(width=4, height=4)}, 'a figure of twice the resolution would be shown twice as large'
    assert decoded(picture['data']['image/png']).mode == 'L'

def test_figures_become_smaller_and_look_the_same(record):
    x = np.full((60,80,3), 255, np.uint8); x[10:20,5:70], x[30:40] = (0,114,178), (230,159,0)
    got = record.light(png(x))
    assert len(got) < len(png(x))/5 and (np.asarray(decoded(got).convert('RGB')) == x).all()

def test_kernels_in_the_block_draw_at_twice_the_resolution(record, monkeypatch):
    monkeypatch.setenv('IPYTHONDIR', 'mine')
    with record.sharp(): assert 'retina' in (Path(os.environ['IPYTHONDIR'])/'profile_default/ipython_kernel_config.py').read_text()
    assert os.environ['IPYTHONDIR'] == 'mine'

@pytest.mark.parametrize('path', sorted((ROOT/'docs/records').glob('*.ipynb')), ids=lambda p: p.stem)
def test_the_site_finds_the_cells_of_a_record(path):
    cells = lambda p: [(''.join(c['source']), bool(c.get('outputs'))) for c in json.loads(p.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code']
    now = {s for s,_ in cells(ROOT/f"nbs/{path.stem.split('_stage_')[0]}.ipynb")}
    shown = [s in now for s,has in cells(path) if has]
    assert sum(shown) >= 2/3*len(shown) > 0, f'{path.name} is out of step with its notebook: python docs/record.py {path.stem}'

def htmls(name): return [''.join(o['data']['text/html']) for c in json.loads((ROOT/f'docs/records/{name}.ipynb').read_text(encoding='utf-8'))['cells'] for o in c.get('outputs', [])]

def test_try_it_and_the_sliders_are_recorded_for_who_has_no_kernel():
    assert sum('class="smf-window"' in o for o in htmls('try_it')) == 3
    sliders = htmls('loss_weights')
    for letter in ('α₁', 'α₂', 'α₃', 'β₁', 'α₄', 'α₅', 'structure', 'δ'):
        states = max(o.count('class="smf-state"') for o in sliders if f'what {letter} does' in o)
        assert 5 <= states <= 9, letter
    assert len([o for o in sliders if 'what α₅ does' in o]) == 2 and sum('class="smf-window"' in o for o in sliders) == 2 # two pairs
