"One image, a folder, several methods: what is scored, what is refused, what is left out and said."
import math
import subprocess
import sys
import numpy as np
import pytest
import torch
from PIL import Image
from smfnet.data.images import read_image, to_bytes, write_image
from smfnet.data.pairs import list_images, match_pairs
from smfnet.fusing.api import FuseOptions
from smfnet.metrics.paper import METRICS
from smfnet.metrics import paper
from smfnet.scoring import score as S
from smfnet.scoring.baselines import average
from smfnet.scoring.score import (
    ALL_METRICS,
    evaluate,
    evaluate_pairs,
    match_fused,
    metric_names,
    parse_fused,
    read_rows,
    score,
    summary,
    write_rows,
)

# one image

def test_names_of_metrics():
    assert metric_names('paper') == METRICS == ('EN','SD','SF','MI','SCD','VIF','Qabf','AG','SSIM')
    assert metric_names('picture') == (*METRICS, 'Eq29', 'Eq30', 'sky') == tuple(ALL_METRICS)[:12]
    assert metric_names('all') == tuple(ALL_METRICS) and len(metric_names('vifb')) == 13 and set(metric_names('vifb')) <= set(ALL_METRICS)
    assert metric_names('sky, EN') == metric_names(['sky','EN']) == ('sky','EN')
    for bad in ('nine', ['EN','nine'], [], ''):
        with pytest.raises(ValueError, match="'paper', 'picture', 'all', 'vifb', or some of EN SD"): metric_names(bad)

def test_score_is_the_metrics_one_by_one(pairs):
    p = pairs[0]
    got, f = score(average(p.ir, p.vi), p.ir, p.vi, metrics='all'), average(p.ir, p.vi)
    for k,metric in ALL_METRICS.items(): assert got[k] == pytest.approx(metric(f, p.ir, p.vi), nan_ok=True), k
    assert score(f, p.ir, p.vi) == paper.score(f, p.ir, p.vi)

def test_every_form_of_one_image_has_one_score(folders):
    files = [folders/k/'1.png' for k in ('avg','ir','vi')]
    want = score(*files, metrics=('EN','VIF','Eq30'))
    arrays = [np.array(Image.open(f).convert('L')) for f in files]
    forms = [
        map(str, files),
        map(Image.open, files),
        arrays,
        [o.astype(np.float32) / 255 for o in arrays],
        [o.astype('>u2') * 257 for o in arrays],
        [torch.from_numpy(o)[None] for o in arrays],
        [np.repeat(o[..., None], 3, -1) for o in arrays],
        [Image.fromarray(np.repeat(o[..., None], 3, -1)) for o in arrays],
    ]
    for form in forms: assert score(*form, metrics=('EN','VIF','Eq30')) == pytest.approx(want, rel=1e-6)
    batch = score(*(torch.from_numpy(np.stack([o, o]))[:,None] for o in arrays), metrics='Eq30')
    assert batch['Eq30'].tolist() == pytest.approx([want['Eq30']]*2)

def test_colour_is_scored_by_its_luma(pairs):
    p = pairs[0]
    y = to_bytes(p.vi)
    colour = np.stack([y, np.roll(y, 5, 0), y.T[:1].repeat(y.shape[0], 0)[:,:1].repeat(y.shape[1], 1)], -1)
    assert score(colour, p.ir, p.vi, metrics='SD')['SD'] == pytest.approx(
        np.round(colour @ [0.299, 0.587, 0.114]).std(), rel=1e-3
    )

# fused files by stem

def test_fused_files_are_found_by_stem(tmp_path, pairs):
    for k,p in enumerate(pairs):
        write_image(tmp_path/'ir'/f'{k:02d}.png', p.ir)
        write_image(tmp_path/'vi'/f'{k:02d}.bmp', p.vi.expand(3,-1,-1))
    for name in ('00.tif', '01_fused.png', '02.webp', 'stray.png'): write_image(tmp_path/'f'/name, pairs[0].ir)
    found,missing,extra = match_fused(match_pairs(tmp_path/'ir', tmp_path/'vi'), tmp_path/'f')
    assert {k: v.name for k, v in found.items()} == {'00': '00.tif', '01': '01_fused.png', '02': '02.webp'} and (
        missing,
        extra,
    ) == (['03'], ['stray.png'])

def test_one_fused_image_of_two_pairs_is_an_error(tmp_path, pairs):
    from smfnet.data.pairs import PairFiles
    write_image(tmp_path/'a.png', pairs[0].ir)
    two = [PairFiles(n, tmp_path/'a.png', tmp_path/f'{n}.png') for n in 'bc']
    with pytest.raises(ValueError, match='matches several pairs'): match_fused(two, tmp_path)

# many images

def test_jobs_keep_their_order():
    assert list(S._bounded_map(abs, [-3,2,-1], 1)) == [3,2,1]
    assert list(S._bounded_map(math.factorial, iter(range(9)), 2)) == [math.factorial(i) for i in range(9)]
    with pytest.raises(ValueError, match='workers'): list(S._bounded_map(abs, [1], 0))

def test_jobs_are_not_read_ahead():
    read = []
    it = S._bounded_map(abs, (read.append(i) or i for i in range(100)), 2)
    first = next(it); it.close()
    assert (first, len(read)) == (0, 5) # one here, two for each worker

def test_the_first_job_is_done_here_while_workers_start():
    assert list(S._bounded_map(abs, [-3,2,-1], 2, here=lambda x: 'here')) == ['here',2,1]
    assert list(S._bounded_map(abs, [-3,2], 1, here=lambda x: 'here')) == ['here']*2

@pytest.mark.parametrize('workers', [1,2])
def test_the_bar_counts_images_times_metrics_from_the_first_metric_on(folders, monkeypatch, workers):
    bars = []
    class Bar:
        def __init__(self, total, **kwargs): self.total, self.n, self.steps, self.shown = total, 0, [], not kwargs['disable']; bars.append(self)
        def __enter__(self): return self
        def __exit__(self, *_): pass
        def set_postfix_str(self, text): self.text = text
        def update(self, n=1): self.n += n; self.steps.append(n)
    monkeypatch.setattr(S, 'tqdm', Bar)
    evaluate(folders/'ir', folders/'vi', {'a':folders/'avg', 'b':folders/'max'}, metrics='EN,SD,Eq29', workers=workers, progress=True)
    bar, = bars
    assert bar.shown and bar.total == bar.n == 2*4*3 and bar.steps[:3] == [1,1,1] and bar.text == 'b'

def test_files_are_scored_like_the_function_that_wrote_them(pairs, folders):
    rows = evaluate_pairs(pairs, average, metrics='all')
    files = evaluate_pairs(match_pairs(folders/'ir', folders/'vi'), list_images(folders/'avg'), metrics='all')
    assert list(rows[0]) == ['name', *ALL_METRICS] and [r['name'] for r in files] == list('0123')
    for a,b in zip(rows, files):
        for k in ALL_METRICS: assert a[k] == pytest.approx(b[k], rel=1e-6, nan_ok=True), k

def test_the_stretch_acts_before_rounding(pairs, folders):
    a,b = (evaluate_pairs(pairs[:1], average, metrics=['SD','EN'], minmax=m)[0] for m in (False, True))
    assert b['SD'] > a['SD']
    dark = lambda ir,vi: ir/20 # a stretch after rounding would leave 13 levels
    assert (
        evaluate_pairs(pairs[:1], dark, metrics='EN', minmax=True)[0]['EN']
        > evaluate_pairs(pairs[:1], dark, metrics='EN')[0]['EN'] + 1
    )
    files = match_pairs(folders/'ir', folders/'vi'), list_images(folders/'avg')
    assert evaluate_pairs(*files, metrics='SD', minmax=True)[0]['SD'] > evaluate_pairs(*files, metrics='SD')[0]['SD']

@pytest.mark.parametrize(
    'method,word', [(lambda ir, vi: ir[..., 8:], r'returned \(1, 72, 82\)'), (lambda ir, vi: ir / 0 - ir / 0, 'NaN')]
)
def test_a_method_that_returns_nonsense_is_refused(pairs, method, word):
    with pytest.raises(ValueError, match=word): evaluate_pairs(pairs, method)

def test_missing_and_wrong_images_are_found_before_scoring(pairs, folders, tmp_path):
    files = match_pairs(folders/'ir', folders/'vi')
    fused = list_images(folders/'avg')
    with pytest.raises(ValueError, match='there are no pairs'): evaluate_pairs([], fused)
    with pytest.raises(ValueError, match='1 of 4 pairs have no fused image: 3'):
        evaluate_pairs(files, {k: fused[k] for k in '012'})
    write_image(tmp_path/'3.png', pairs[0].ir[...,:-2])
    with pytest.raises(ValueError, match='3.png is 88x72 pixels, but its sources are 90x72'):
        evaluate_pairs(files, fused | {'3': tmp_path / '3.png'})

def test_a_job_refuses_images_of_two_sizes(pairs):
    x = [to_bytes(o) for o in (pairs[0].ir, pairs[0].ir, pairs[0].vi)]
    with pytest.raises(ValueError, match="fused image of 'p' is 89x72 pixels, but its infrared source is 90x72"):
        S._score_job(('p', x[0][:, 1:], *x[1:], False, METRICS, FuseOptions(), False))
    with pytest.raises(ValueError, match="visible image of 'p' is 90x71 pixels"):
        S._score_job(('p', *x[:2], x[2][1:], False, METRICS, FuseOptions(), False))

def test_an_image_too_small_for_a_metric_is_named(tmp_path, pairs):
    for k in ('ir','vi','f'): write_image(tmp_path/k/'tiny.png', pairs[0].ir[:,:40])
    with pytest.raises(ValueError, match=r'tiny.png: VIF needs images of at least 41×41 pixels; these are 40×90'):
        evaluate(tmp_path / 'ir', tmp_path / 'vi', tmp_path / 'f')
    assert (
        len(evaluate(tmp_path / 'ir', tmp_path / 'vi', tmp_path / 'f', metrics='EN,SSIM,Eq30')) == 1
    )  # the others are defined

def test_worker_processes_give_the_same_rows(folders):
    pairs = match_pairs(folders/'ir', folders/'vi')
    fused = list_images(folders/'avg')
    several, one = (evaluate_pairs(pairs, fused, workers=n) for n in (2,1))
    assert [r.pop('name') for r in several] == [r.pop('name') for r in one] == list('0123')
    for a, b in zip(several, one):
        assert a == pytest.approx(b, rel=1e-5)  # sums of several threads differ in the last digits

def test_a_damaged_file_is_named(folders, tmp_path):
    "Its header is whole, so only decoding finds it."
    pairs = match_pairs(folders/'ir', folders/'vi')
    fused = list_images(folders/'avg') | {'1': tmp_path/'1.png'}
    data = (folders/'avg'/'1.png').read_bytes()
    (tmp_path/'1.png').write_bytes(data[:len(data)//2])
    with pytest.raises(ValueError, match='1.png'): evaluate_pairs(pairs, fused)

# rows and means

def test_rows_survive_their_file(tmp_path, pairs):
    rows = evaluate_pairs(pairs, average, metrics='all')
    back = read_rows(write_rows(tmp_path/'r.csv', rows), 'all')
    assert [r['name'] for r in back] == [r['name'] for r in rows]
    for a,b in zip(rows, back):
        for k in ALL_METRICS: assert b[k] == pytest.approx(a[k], abs=1e-6, nan_ok=True)

def test_a_file_says_which_columns_it_lacks(tmp_path):
    (tmp_path/'half.csv').write_text('name,EN\nx,1\n')
    with pytest.raises(ValueError, match='half.csv has no column SD, SF'): read_rows(tmp_path/'half.csv')
    assert read_rows(tmp_path/'half.csv', 'EN') == [dict(name='x', EN=1.)]
    (tmp_path/'half.csv').write_text('name,EN\nx,one\n')
    with pytest.raises(ValueError, match='half.csv holds a metric that is not a number'):
        read_rows(tmp_path / 'half.csv', 'EN')
    with pytest.raises(ValueError, match='no rows to write'): write_rows(tmp_path/'none.csv', [])

def test_means_leave_out_images_without_a_value():
    rows = [
        dict(name=n, method=m, EN=v, sky=s)
        for m, n, v, s in (('a', '1', 1.0, 0.5), ('a', '2', 2.0, math.nan), ('b', '1', 5.0, math.nan))
    ]
    a,b = summary(rows)
    assert a == dict(method='a', images=2, EN=1.5, sky=.5)
    assert (b['EN'], math.isnan(b['sky'])) == (5., True)

# folders

def test_methods_are_compared_over_common_pairs(folders, tmp_path):
    for k in '013': write_image(tmp_path/'f'/f'{k}.png', torch.rand(1,72,90))
    write_image(tmp_path/'f'/'stray.png', torch.rand(1,72,90))
    said = []
    got = evaluate(folders/'ir', folders/'vi', {'f':tmp_path/'f', 'avg':folders/'avg'}, metrics='EN', log=said.append)
    assert [(r['method'], r['name']) for r in got] == [(m,n) for m in ('f','avg') for n in '013']
    assert said == [
        'f: no fused image for 1 of 4 pairs: 2',
        f"f: 1 files in {tmp_path / 'f'} belong to no pair: stray.png",
    ]
    (tmp_path/'f'/'stray.png').unlink()
    with pytest.warns(UserWarning, match='no fused image for 1 of 4 pairs: 2'):
        evaluate(folders / 'ir', folders / 'vi', tmp_path / 'f', metrics='EN')

def test_one_folder_gives_no_column_of_methods(folders):
    rows = evaluate(folders/'ir', folders/'vi', str(folders/'avg'), metrics='EN,sky')
    assert [list(r) for r in rows] == [['name','EN','sky']]*4
    assert [list(r) for r in evaluate(folders / 'ir', folders / 'vi', {'avg': folders / 'avg'}, metrics='EN')] == [
        ['name', 'method', 'EN']
    ] * 4

def test_folders_without_any_match_are_an_error(folders, tmp_path):
    write_image(tmp_path/'x'/'zz.png', torch.rand(1,72,90))
    with pytest.raises(ValueError, match="found by the sources' stems, such as '0'"):
        evaluate(folders / 'ir', folders / 'vi', tmp_path / 'x', log=print)
    with pytest.raises(ValueError, match='no folder'): evaluate(folders/'ir', folders/'vi', {})

def test_names_of_folders(folders):
    assert parse_fused([str(folders/'avg'), f"bright={folders/'max'}"]) == {'avg':folders/'avg', 'bright':folders/'max'}
    with pytest.raises(ValueError, match='two methods'): parse_fused([str(folders/'avg'), f"avg={folders/'max'}"])
    with pytest.raises(FileNotFoundError, match='nowhere is not a folder'): parse_fused(['x=nowhere'])
    with pytest.raises(ValueError, match='DIR or name=DIR'): parse_fused(['x='])

def test_scoring_needs_only_the_core():
    "No library of an extra is imported by what scores."
    heavy = ('kornia', 'scipy', 'pandas', 'matplotlib', 'accelerate', 'nbdev', 'fastcore', 'skimage')
    code = f"import sys, smfnet.scoring.score, smfnet.scoring.cli; print([m for m in {heavy} if m in sys.modules])"
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert r.stdout.strip() == '[]', r.stdout + r.stderr

# raw infrared, other sizes

@pytest.fixture
def raw(tmp_path, pairs):
    "Pair 0 with 16-bit infrared that spans 3 % of its scale, the same in kelvins, at half size, and what was fused from it."
    p = pairs[0]
    ir = p.ir[0].numpy()
    for k in ('ir16', 'kelvin', 'small'): (tmp_path/k).mkdir()
    Image.fromarray((20000 + ir*.03*65535).astype(np.uint16)).save(tmp_path/'ir16'/'a.png')
    Image.fromarray((290 + 40*ir).astype(np.float32)).save(tmp_path/'kelvin'/'a.tif')
    Image.fromarray(to_bytes(ir)).resize((45, 36)).save(tmp_path/'small'/'a.png')
    write_image(tmp_path/'ir8'/'a.png', p.ir)
    write_image(tmp_path/'vi'/'a.png', p.vi)
    write_image(tmp_path/'f'/'a.png', average(p.ir, p.vi))
    return tmp_path

def test_raw_infrared_is_stretched_as_it_was_fused(raw):
    want = evaluate(raw/'ir8', raw/'vi', raw/'f', stretch=(0, 100))[0]
    for kind in ('ir16', 'kelvin'):
        got = evaluate(raw/kind, raw/'vi', raw/'f', stretch=(0, 100))[0]
        for k in ('VIF', 'SSIM', 'MI'): assert got[k] == pytest.approx(want[k], rel=.02), (kind, k)
        one = score(raw/'f'/'a.png', next((raw/kind).iterdir()), raw/'vi'/'a.png', stretch=(0, 100))
        assert one == pytest.approx({k: got[k] for k in one})
    assert evaluate(raw/'ir16', raw/'vi', raw/'f', log=print)[0]['VIF'] > 1.2*want['VIF'] # a number without a meaning

def test_faint_infrared_is_reported(raw):
    said = []
    evaluate(raw/'ir16', raw/'vi', raw/'f', metrics='EN', log=said.append)
    assert 'a.png spans 2.9 % of its scale' in said[0] and '--stretch 1,99' in said[0] and 'the same stretch' in said[-1]
    said.clear()
    evaluate(raw/'ir16', raw/'vi', raw/'f', metrics='EN', stretch=(1, 99), log=said.append)
    assert not said

def test_sources_of_two_sizes_are_resampled_as_they_were_fused(raw):
    with pytest.raises(ValueError, match=r'45x36 pixels and .* is 90x72; say how .*--resize ir.*--register'): evaluate(raw/'small', raw/'vi', raw/'f')
    got = evaluate(raw/'small', raw/'vi', raw/'f', resize='ir')[0]
    assert got['MI'] == pytest.approx(evaluate(raw/'ir8', raw/'vi', raw/'f')[0]['MI'], rel=.3)
    files = raw/'f'/'a.png', raw/'small'/'a.png', raw/'vi'/'a.png'
    assert score(*files, resize='ir')['MI'] == pytest.approx(got['MI'])
    with pytest.raises(ValueError, match="resize must be 'ir' or 'vi'"): score(*files, resize='both')

def test_a_function_fuses_what_is_scored(raw):
    rows = evaluate_pairs(match_pairs(raw/'kelvin', raw/'vi'), average, stretch=(0, 100))
    assert rows[0]['VIF'] == pytest.approx(evaluate(raw/'ir8', raw/'vi', raw/'f', stretch=(0, 100))[0]['VIF'], rel=.02)

def test_one_small_image_is_named(tmp_path, pairs):
    files = [write_image(tmp_path/f'{k}.png', pairs[0].ir[:,:30,:30]) for k in ('fused', 'ir', 'vi')]
    with pytest.raises(ValueError, match=r'fused.png: VIF needs images of at least 41×41 pixels; these are 30×30'): score(*files)

def test_a_method_without_images_is_named(folders, tmp_path):
    write_image(tmp_path/'x'/'zz.png', torch.rand(1,72,90))
    with pytest.raises(ValueError, match='lost: no fused image in .* belongs to a pair'):
        evaluate(folders/'ir', folders/'vi', {'avg':folders/'avg', 'lost':tmp_path/'x'}, log=print)

def test_names_match_whatever_their_case_and_form(tmp_path, pairs):
    from smfnet.data.pairs import PairFiles
    want = {'FLIR_00006':'flir_00006_FUSED.png', 'caf\u00e9':'cafe\u0301_mine.png', '07':'Mine_07.png'}
    for f in want.values(): write_image(tmp_path/'mine'/f, pairs[0].ir)
    files = [PairFiles(n, tmp_path/f'{n}.png', tmp_path/f'{n}.jpg') for n in want]
    assert {k: v.name for k,v in match_fused(files, tmp_path/'mine')[0].items()} == want

def test_a_batch_of_any_kind_is_scored(pairs):
    "Arrays and tensors, grey or in colour, one or two: the same numbers."
    ir,vi = pairs[0].ir[0], pairs[0].vi[0]
    f = (ir + vi)/2
    want = score(f, ir, vi, metrics='EN,SD,SSIM')
    two = lambda x: np.stack([x.numpy()]*2)
    batches = [(two(f), two(ir), two(vi)), (two(f)[...,None], two(ir), two(vi)), (two(f)[...,None].repeat(3, -1), two(ir), two(vi)), tuple(torch.stack([o]*2)[:,None].repeat(1,3,1,1) for o in (f, ir, vi))]
    for batch in batches:
        got = score(*batch, metrics='EN,SD,SSIM')
        assert all(got[k].tolist() == pytest.approx([want[k]]*2, abs=2e-3) for k in want)
    with pytest.raises(ValueError, match='ir holds 2 images and vi holds 1'): score(f, two(ir), vi)

def test_python_says_of_the_sources_what_fusing_says(raw):
    with pytest.warns(UserWarning, match='a.png spans 2.9 % of its scale') as seen: score(raw/'f'/'a.png', raw/'ir16'/'a.png', raw/'vi'/'a.png', metrics='EN')
    assert {w.filename for w in seen} == {__file__}

def test_missing_pixels_are_filled_as_they_were_fused(raw, pairs):
    from smfnet.fusing.api import take_pair
    x = (290 + 40*pairs[0].ir[0].numpy()).astype(np.float32)
    x[10:20,30:50] = -9999
    Image.fromarray(x).save(raw/'kelvin'/'a.tif')
    ir,_ = take_pair(raw/'kelvin'/'a.tif', raw/'vi'/'a.png', FuseOptions(stretch=(0, 100), nodata=-9999))
    want = score(raw/'f'/'a.png', ir.grey()[0], raw/'vi'/'a.png', metrics='MI,SSIM')
    got = evaluate(raw/'kelvin', raw/'vi', raw/'f', metrics='MI,SSIM', stretch=(0, 100), nodata=-9999)[0]
    assert {k: got[k] for k in want} == pytest.approx(want) == score(raw/'f'/'a.png', raw/'kelvin'/'a.tif', raw/'vi'/'a.png', metrics='MI,SSIM', stretch=(0, 100), nodata=-9999)
    assert evaluate(raw/'kelvin', raw/'vi', raw/'f', metrics='MI', stretch=(0, 100))[0]['MI'] != pytest.approx(want['MI'], rel=.01)

def test_a_registered_pair_is_scored_as_it_was_fused(tmp_path):
    from smfnet.data.register import register_pair, warp
    from smfnet.data.scenes.render import render_scene
    s = render_scene(3, size=(96,128))
    moved = warp(s.ir, np.array([[1,0,-8], [0,1,5], [0,0,1.]]), (96,128))[0]
    files = [write_image(tmp_path/k/'a.png', x) for k,x in dict(f=s.vi, ir=moved, vi=s.vi).items()]
    placed = register_pair(read_image(files[1]), read_image(files[2]), 'shift')[0]
    want = score(files[0], placed, files[2], metrics='MI,Qabf')
    assert score(*files, metrics='MI,Qabf', register='shift') == pytest.approx(want, rel=1e-3)
    got, plain = (evaluate(tmp_path/'ir', tmp_path/'vi', tmp_path/'f', metrics='MI', log=lambda s: None, register=r)[0]['MI'] for r in ('shift', None))
    assert got == pytest.approx(want['MI'], rel=1e-3) and plain != pytest.approx(got, rel=.02)

def test_wrong_ways_of_fusing_are_refused(folders):
    with pytest.raises(ValueError, match='register must be one of'): evaluate(folders/'ir', folders/'vi', folders/'avg', register='affine')
    with pytest.raises(TypeError, match='strech'): evaluate(folders/'ir', folders/'vi', folders/'avg', strech=(1, 99))

def test_an_option_that_does_not_change_the_sources_is_refused():
    "score(minmax=True) would else give the score of the image as it is."
    x = np.random.RandomState(0).rand(48,48).astype(np.float32)
    for bad in ('minmax', 'precision', 'bits'):
        with pytest.raises(TypeError, match=bad): score(x, x, x, metrics=['EN'], **{bad: True})
