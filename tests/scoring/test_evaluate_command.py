"The command smfnet_evaluate: tables, files, and one line for each mistake."
import json
import subprocess
import sys
import pytest
import torch
from smfnet.data.images import write_image
from smfnet.scoring.cli import _parser, _sources, main
from smfnet.scoring.score import read_rows, summary

def call(capsys, *args):
    code = main([str(a) for a in args])
    out,err = capsys.readouterr()
    return code, out, err

def test_command_line(folders, capsys, tmp_path):
    code, out, err = call(
        capsys,
        '--ir',
        folders / 'ir',
        '--vi',
        folders / 'vi',
        '--fused',
        folders / 'avg',
        '--fused',
        f"bright={folders / 'max'}",
        '--csv',
        tmp_path / 'o.csv',
    )
    assert code == 0
    rows = read_rows(tmp_path/'o.csv')
    assert [(r['method'], r['name']) for r in rows] == [(m,n) for m in ('avg','bright') for n in '0123']
    means = {s['method']: s for s in summary(rows)}
    for m in means: assert f"{means[m]['EN']:.4f}" in out
    assert means['bright']['SD'] > means['avg']['SD'] # an average has less contrast than a maximum
    code, out, err = call(
        capsys,
        '--ir',
        folders / 'ir',
        '--vi',
        folders / 'vi',
        '--fused',
        folders / 'avg',
        '--csv',
        tmp_path / 'o.csv',
        '--minmax',
    )
    assert code == 0 and 'stretched' in out
    assert (tmp_path/'o.csv').read_text().split('\n')[0] == 'name,EN,SD,SF,MI,SCD,VIF,Qabf,AG,SSIM'
    assert summary(read_rows(tmp_path/'o.csv'))[0]['SD'] > means['avg']['SD']

def test_what_is_left_out_is_listed(folders, capsys, tmp_path):
    for k in '013': write_image(tmp_path/'f'/f'{k}.png', torch.rand(1,72,90))
    write_image(tmp_path/'f'/'other.png', torch.rand(1,72,90))
    code, out, err = call(
        capsys, '--ir', folders / 'ir', '--vi', folders / 'vi', '--fused', tmp_path / 'f', '--fused', folders / 'avg'
    )
    assert code == 0 and 'no fused image for 1 of 4 pairs: 2' in err and 'other.png' in err
    assert [l.split()[1] for l in out.split('\n')[1:3]] == ['3','3'] # both methods over the same three images

@pytest.mark.parametrize('case', ['size','cut','text','ir','empty','none','workers','tiny','metrics','csv','lost'])
def test_bad_input_is_one_line(folders, capsys, tmp_path, case):
    "Exit status 1, one line that names what is wrong, no table."
    ir,vi,fused,more,word = folders/'ir', folders/'vi', tmp_path/'f', [], ''
    for k in '0123': write_image(fused/f'{k}.png', torch.rand(1,72,90))
    if case == 'size':
        write_image(fused / '2.png', torch.rand(1, 72, 88))
        word = '2.png is 88x72 pixels, but its sources are 90x72'
    if case == 'cut': f = fused/'2.png'; f.write_bytes(f.read_bytes()[:400]); word = '2.png'
    if case == 'text': (fused/'2.png').write_text('no image'); word = '2.png is not an image'
    if case == 'ir':
        ir = tmp_path / 'ir'
        word = '0.png'
        [write_image(ir / f'{k}.png', torch.rand(1, 72, 90)) for k in '123']
    if case == 'empty': fused = tmp_path/'e'; fused.mkdir(); word = 'holds no image file'
    if case == 'none': fused = tmp_path/'nowhere'; word = 'is not a folder'
    if case == 'workers': more = ['--workers', '0']; word = '--workers must be 1 or more'
    if case == 'tiny':
        ir, vi, fused = (tmp_path / 't' / o for o in 'ivf')
        [write_image(o / '0.png', torch.rand(1, 9, 9)) for o in (ir, vi, fused)]
        word = '0.png: VIF needs images of at least 41×41 pixels'
    if case == 'metrics': more = ['--metrics', 'EN,nine']; word = "'nine' is not"
    if case == 'csv': more = ['--csv', 'x.txt']; word = 'should end in .csv'
    if case == 'lost': more = ['--vi', '']; word = 'missing --vi; smfnet_evaluate --ir DIR'
    code,out,err = call(capsys, '--ir', ir, '--vi', vi, '--fused', fused, *more)
    last = err.rstrip('\n').split('\n')[-1].split('\r')[-1]
    assert code == 1 and out == '' and 'smfnet_evaluate: ' in last and word in last and 'Traceback' not in err, err

def test_module_as_a_program():
    r = subprocess.run(
        [sys.executable, '-m', 'smfnet.scoring.cli', '--ir', 'nowhere', '--vi', 'nowhere', '--fused', '.'],
        capture_output=True,
        text=True,
    )
    assert r.returncode == 1 and 'nowhere' in r.stderr and 'Traceback' not in r.stderr and r.stdout == ''

def test_metrics_are_chosen(folders, capsys, tmp_path):
    src = (
        '--ir',
        folders / 'ir',
        '--vi',
        folders / 'vi',
        '--fused',
        folders / 'avg',
        '--fused',
        folders / 'max',
        '--csv',
        tmp_path / 'o.csv',
    )
    code,out,_ = call(capsys, *src, '--metrics', 'picture')
    assert (
        code == 0
        and (tmp_path / 'o.csv').read_text().split('\n')[0]
        == 'name,method,EN,SD,SF,MI,SCD,VIF,Qabf,AG,SSIM,Eq29,Eq30,sky'
    )
    assert 'smaller is better for Eq29, Eq30; larger for all others; * best' in out
    best = next(l for l in out.split('\n') if l.startswith('max'))
    assert '0.0000*' in best # the maximum is what Eq. 29 asks for
    code,out,_ = call(capsys, *src, '--metrics', 'VIF,sky')
    assert code == 0 and out.split('\n')[0].split() == ['method','images','VIF','sky'] and 'smaller' not in out and 'larger is better' in out

def test_unknown_weights_are_named(capsys):
    code,out,err = call(capsys, '--record', 'nosuch')
    assert code == 1 and "no shipped weights are called 'nosuch'" in err and out == ''

def test_a_report_with_json(folders, capsys, tmp_path):
    code,out,err = call(capsys, '--ir', folders/'ir', '--vi', folders/'vi', '--fused', f"a={folders/'avg'}", '--fused', f"b={folders/'max'}",
                        '--metrics', 'EN,SD,Eq29', '--report', tmp_path/'r.html', '--json', tmp_path/'r.json')
    assert code == 0, err
    assert f"written: {tmp_path/'r.html'}" in out
    got = json.loads((tmp_path/'r.json').read_text())['sets']['images']
    assert [m['method'] for m in got['means']] == ['a', 'b'] and [d['metric'] for d in got['differences']['b']] == ['EN', 'SD', 'Eq29']
    assert got['differences']['b'][2]['verdict'] == 'b' # nothing is nearer to the maximum than the maximum
    page = (tmp_path/'r.html').read_text()
    assert 'a minus the others' in page and 'data:image/jpeg' in page

def test_named_sets_stand_beside_nothing_unless_they_are_in_table_1(folders, capsys, tmp_path):
    for k in ('ir', 'vi'): (tmp_path/'mine').mkdir(exist_ok=True); (tmp_path/'mine'/k).symlink_to(folders/k)
    code,out,err = call(capsys, '--data', tmp_path/'mine', '--fused', folders/'avg', '--metrics', 'EN', '--csv', tmp_path/'o.csv', '--report', tmp_path/'r.md')
    assert code == 0 and out.startswith('mine:') and 'published' not in out, err
    assert (tmp_path/'o.csv').read_text().startswith('name,dataset,method,protocol,EN')
    assert (tmp_path/'r_pictures').is_dir() and '](r_pictures/' in (tmp_path/'r.md').read_text()
    code,out,err = call(capsys, '--data', tmp_path/'mine', '--ir', folders/'ir', '--fused', folders/'avg')
    assert code == 1 and 'not both' in err

def test_raw_infrared_is_hinted_at_and_stretched(folders, capsys, tmp_path):
    import numpy as np
    from PIL import Image
    for k in '0123':
        x = np.asarray(Image.open(folders/'ir'/f'{k}.png')).astype(float)
        (tmp_path/'raw').mkdir(exist_ok=True)
        Image.fromarray((20000 + 7*x).astype(np.uint16)).save(tmp_path/'raw'/f'{k}.png')
    src = '--ir', tmp_path/'raw', '--vi', folders/'vi', '--fused', folders/'avg', '--metrics', 'SSIM'
    code,out,err = call(capsys, *src)
    assert code == 0 and 'smfnet_evaluate: hint: ' in err and all(f'{k}.png spans' in err for k in '0123')
    code,out,err = call(capsys, *src, '--stretch', '0,100')
    assert code == 0 and 'hint' not in err
    for bad in ('5', '9,1', 'a,b'):
        code,out,err = call(capsys, *src, '--stretch', bad)
        assert code == 1 and 'two percentiles' in err

def test_the_last_words_say_what_was_written_and_how_to_read_it(folders, capsys, tmp_path):
    src = '--ir', folders/'ir', '--vi', folders/'vi', '--fused', folders/'avg', '--metrics', 'EN'
    code,out,_ = call(capsys, *src, '--csv', tmp_path/'o.csv')
    assert code == 0 and out.endswith(f"written: {tmp_path/'o.csv'} (one row per image)\n")
    code,out,_ = call(capsys, *src)
    assert out.split('\n')[-2].startswith("(--csv FILE.csv keeps every image's numbers")

def test_missing_pixels_and_registration(folders, capsys, tmp_path):
    "--nodata and --register do what they do in smfnet_fuse."
    import numpy as np
    from PIL import Image
    (tmp_path/'k').mkdir()
    for k in '0123':
        x = 290 + np.asarray(Image.open(folders/'ir'/f'{k}.png')).astype(np.float32)/8
        x[:9] = -9999
        Image.fromarray(x).save(tmp_path/'k'/f'{k}.tif')
    src = '--ir', tmp_path/'k', '--vi', folders/'vi', '--fused', folders/'avg', '--metrics', 'SSIM', '--stretch', '0,100'
    got = {}
    for more in ((), ('--nodata', '-9999')):
        code,_,err = call(capsys, *src, *more, '--csv', tmp_path/'o.csv', '--report', tmp_path/'r.md', '--json', tmp_path/'o.json')
        assert code == 0, err
        got[more] = summary(read_rows(tmp_path/'o.csv', 'SSIM'))[0]['SSIM']
        assert json.loads((tmp_path/'o.json').read_text())['nodata'] == (-9999 if more else None)
    assert got['--nodata', '-9999'] > got[()] + .05
    assert _sources(_parser().parse_args(['--register', '--nodata', '-1'])) == dict(stretch=None, resize=None, nodata=-1, register='similarity')
    with pytest.raises(SystemExit): call(capsys, *src, '--register', 'affine')

def test_names_that_cannot_be_printed(folders, tmp_path):
    "A terminal of ASCII gets escapes, not a traceback."
    for k,src in dict(ir='ir', vi='vi', f='avg').items():
        (tmp_path/k).mkdir()
        (tmp_path/k/'é\u6f22.png').write_bytes((folders/src/'0.png').read_bytes())
    (tmp_path/'f'/'ü.png').write_bytes((folders/'avg'/'1.png').read_bytes())
    r = subprocess.run([sys.executable, '-m', 'smfnet.scoring.cli', '--ir', tmp_path/'ir', '--vi', tmp_path/'vi', '--fused', f"m\u00e9thode={tmp_path/'f'}", '--metrics', 'EN'],
                       capture_output=True, text=True, env={'PYTHONIOENCODING':'ascii', 'PATH':'/usr/bin'})
    assert r.returncode == 0 and '\\xfc.png' in r.stderr and 'm\\xe9thode' in r.stdout and 'Traceback' not in r.stderr, r.stderr
