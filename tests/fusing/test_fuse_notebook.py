"The run notebook nbs/fuse.ipynb, run by papermill as its user runs it."
import json, subprocess, sys
import numpy as np
import pytest
from PIL import Image
from smfnet.core.files import project_root
from smfnet.data.images import image_size, read_image, write_image
from smfnet.data.scenes.render import render_scene
from smfnet.fusing.folders import fuse_folder

pytest.importorskip('papermill', reason='the extra [notebooks] is not installed')
pytestmark = pytest.mark.slow
root = project_root()

def papermill(out, *params, cwd=root):
    cmd = [sys.executable, '-m', 'papermill', '--log-level', 'WARNING', '--no-progress-bar', '-k', 'python3', root/'nbs/fuse.ipynb', out]
    for k,v in params: cmd += ['-p', k, v]
    return subprocess.run([str(o) for o in cmd], cwd=cwd, capture_output=True, text=True)

def test_an_embedded_scene(weights, tmp_path):
    "Paths are relative to where papermill was started; everything lands in the folder `out`."
    r = papermill(tmp_path/'f.ipynb', ('weights',weights), ('out','new/fused'), ('device','cpu'), ('seed',11), cwd=tmp_path)
    assert r.returncode == 0, r.stderr
    report = tmp_path/'new/fused/report'
    assert image_size(tmp_path/'new/fused/scene00011.png') == image_size(report/'scene/scene00011_vi.png')
    got = json.loads((report/'fuse.json').read_text())
    assert got['parameters']['seed'] == 11 and list(got['mean']) == 'EN SD SF MI SCD VIF Qabf AG SSIM'.split()
    assert image_size(report/'figure.png') and (report/'fuse.txt').read_text().startswith('fused 1 of 1 pair: ')
    assert 'rendered scene 11' in (tmp_path/'f.ipynb').read_text()
    assert {p.name for p in tmp_path.iterdir()} == {'f.ipynb','new'} and {p.name for p in (tmp_path/'new').iterdir()} == {'fused'}

def test_a_typo_and_a_wrong_type(tmp_path):
    r = papermill(tmp_path/'f.ipynb', ('outt',tmp_path/'x'), ('seed','three'))
    assert r.returncode == 1
    assert 'there is no parameter outt (is out meant?)' in r.stderr and "parameter seed must be int, not 'three'" in r.stderr
    assert not (tmp_path/'x').exists()

def test_one_image_alone_is_refused_by_the_name_of_the_other(tmp_path):
    for given,lost in (('ir','vi'), ('vi','ir')):
        r = papermill(tmp_path/'f.ipynb', (given, root/f'smfnet/examples/doorway_{given}.png'), ('out', tmp_path/'x'))
        assert r.returncode == 1 and f'ValueError: {lost} is missing' in r.stderr and not (tmp_path/'x').exists()

def test_an_error_of_make_demo_is_one_line(tmp_path):
    "What papermill prints of a notebook that failed goes through the filter of the Makefile; progress and other lines stay."
    rule = next(l for l in (root/'Makefile').read_text().splitlines() if 'awk ' in l)
    script = rule[rule.index("awk '")+5 : rule.rindex("'")]
    head = 'Executing: 1/11\n[IPKernelApp] WARNING | x\nTraceback (most recent call last):\n  File "a.py", line 1\npapermill.exceptions.PapermillExecutionError: \n---\n'
    for error in ('FileNotFoundError: ir: there is no file\n', 'torch.OutOfMemoryError: too large\nTry --max-memory\n', 'StopIteration\n'):
        r = subprocess.run(['awk', script.replace('$$', '$')], input=head+error, capture_output=True, text=True)
        assert r.stdout == 'Executing: 1/11\n' + error
    assert subprocess.run(['awk', script.replace('$$', '$')], input='a\nb: c\n', capture_output=True, text=True).stdout == 'a\nb: c\n' # nothing failed

def test_it_takes_what_the_command_takes(weights, tmp_path):
    "16-bit thermal beside larger colour images: stretched, resampled, two at once, within a budget; a second run keeps the results."
    for k in range(2):
        s = render_scene(30+k, size=(64,72))
        (tmp_path/'ir').mkdir(exist_ok=True)
        Image.fromarray((29000 + 2000*s.ir[::2,::2]).astype(np.uint16)).save(tmp_path/f'ir/{k}_thermal.tif')
        write_image(tmp_path/f'vi/{k}_rgb.jpg', s.vi)
    args = ('ir','ir'), ('vi','vi'), ('out','out/'), ('weights',weights), ('device','cpu'), ('stretch','1,99'), ('resize','ir'), ('max_memory','200M'), ('workers',2), ('resume','True')
    want = fuse_folder(tmp_path/'ir', tmp_path/'vi', tmp_path/'want', weights=weights, device='cpu', resize='ir', stretch=(1,99), progress=False)
    for status in ('fused', 'kept'):
        r = papermill(tmp_path/'f.ipynb', *args, cwd=tmp_path)
        assert r.returncode == 0, r.stderr
        assert [o['status'] for o in json.loads((tmp_path/'out/report/fuse.json').read_text())['pairs']] == [status]*2
    for j in want: assert (read_image(j.out) == read_image(tmp_path/'out'/j.out.name)).all()

def test_two_runs_into_one_folder_keep_their_reports(weights, tmp_path):
    s = render_scene(30, size=(64,72))
    ir,vi = write_image(tmp_path/'ir.png', s.ir), write_image(tmp_path/'vi.png', s.vi)
    for name in ('a.png','a.jpg'):
        r = papermill(tmp_path/'f.ipynb', ('ir',ir), ('vi',vi), ('out',tmp_path/f'out/{name}'), ('weights',weights), ('device','cpu'))
        assert r.returncode == 0, r.stderr
    for name in ('a.png','a.jpg'): assert name in (tmp_path/f'out/{name}_report/fuse.txt').read_text()

@pytest.mark.parametrize('name,value,words', [('stretch','99,1','0 <= low < high <= 100'), ('max_memory','much','like 800M or 2G'), ('workers',0,'workers must be 1 or more')])
def test_a_wrong_value(tmp_path, name, value, words):
    r = papermill(tmp_path/'f.ipynb', ('out',tmp_path/'x/y.png'), (name,value))
    assert r.returncode == 1 and words in r.stderr and not (tmp_path/'x').exists()

def test_out_may_lie_in_the_folder_of_sources_and_be_used_again(weights, tmp_path):
    "What a run leaves in out is no source of the next one, and two folders keep two reports."
    s = render_scene(30, size=(64,72))
    write_image(tmp_path/'ir/1.png', s.ir); write_image(tmp_path/'vi/1.png', s.vi)
    for out in ('ir/fused', 'ir/fused', 'ir/other'):
        r = papermill(tmp_path/'f.ipynb', ('ir','ir'), ('vi','vi'), ('out',out), ('weights',weights), ('device','cpu'), cwd=tmp_path)
        assert r.returncode == 0, r.stderr
    for out in ('fused', 'other'): assert f'ir/{out}' in (tmp_path/f'ir/{out}/report/fuse.txt').read_text()

def test_a_place_that_takes_no_files_is_one_sentence(tmp_path):
    (tmp_path/'runs').write_text('')
    r = papermill(tmp_path/'f.ipynb', ('device','cpu'), cwd=tmp_path)
    assert r.returncode == 1 and 'cannot write into' in r.stderr and 'name another folder, -p out FOLDER' in r.stderr
