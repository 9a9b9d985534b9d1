"One image, a folder, several methods: what is scored, what is refused, what is left out and said."
import math
import subprocess
import sys
import numpy as np
import pytest
import torch
from PIL import Image
from smfnet.data.images import to_bytes, write_image
from smfnet.data.pairs import list_images, match_pairs
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
    assert metric_names('all') == tuple(ALL_METRICS) == (*METRICS, 'Eq29', 'Eq30', 'sky')
    assert metric_names('sky, EN') == metric_names(['sky','EN']) == ('sky','EN')
    for bad in ('PSNR', ['EN','PSNR'], [], ''):
        with pytest.raises(ValueError, match="'paper', 'all', or some of EN SD"): metric_names(bad)

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
    assert (first, len(read)) == (0, 4)

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
        S._score_job(('p', x[0][:, 1:], *x[1:], False, METRICS))
    with pytest.raises(ValueError, match="visible image of 'p' is 90x71 pixels"):
        S._score_job(('p', *x[:2], x[2][1:], False, METRICS))

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
