"The diary of trials: what its prose says of numbers is what the files hold."
import csv, importlib.util
import pytest, torch
from smfnet.core.files import project_root
from smfnet.network.weights import load_model, weights_hash

SCORES = ['EN','SD','SF','MI','VIF','Qabf','AG','SSIM']
ROAD, MSRS = 'RoadScene/train', 'MSRS/train'
BOTH = (ROAD, MSRS)

def read(name): return list(csv.DictReader((project_root()/'results/training'/f'{name}.csv').open(encoding='utf-8')))

def row(run, data, name='trials'):
    r = next(o for o in read(name) if o['run'].startswith(run) and o['data'] == data)
    return {k: float(r[k]) for k in r if k not in ('run','updates','data')}

def rose(run, base, data, name='trials'):
    "Columns that are larger for `run`."
    a,b = row(run, data, name), row(base, data, name)
    return {k for k in a if a[k] > b[k]}

def images(name): return {o['image']: {m: float(o[m]) for m in SCORES} for o in read(name)}

START, SCALES, STRUCTURE = '91ddc13f2efc', 'from 91ddc13f2efc, edge_scales=3', 'from 085a1c79c1eb, structure=8'
MEAN, GPU = 'the same mean', '4c22f197bc6e'

@pytest.mark.parametrize('data', BOTH)
def test_printed_balance_is_brighter_and_scores_less(data):
    assert not rose('alpha4=10 alpha5=2', 'start', data) & {'intensity','MI','VIF','Qabf','SSIM'}

def test_printed_balance_nearly_halves_intensity(): assert row('alpha4=10 alpha5=2', ROAD)['intensity'] < .6*row('start', ROAD)['intensity']

@pytest.mark.parametrize('data', BOTH)
def test_muon_is_ahead_of_its_start(data): assert {'VIF','Qabf','SD'} <= rose('Muon', 'start', data) and 'grad' not in rose('Muon', 'start', data)

def test_signs():
    assert rose('signs', 'magnitudes, ff', ROAD) == {'EN','SD','MI','VIF','Qabf','SSIM','intensity','SCD'}
    assert rose('signs', 'magnitudes, ff', MSRS) == {'EN','Qabf','intensity','SCD'}
    for d in BOTH: assert not {'VIF','Qabf','SSIM','intensity'} & rose('magnitudes, alpha5=4', 'magnitudes, ff', d)

def test_gpu():
    assert rose(GPU, 'signs', ROAD) == {'SF','MI','VIF','Qabf','AG'} and rose(GPU, 'signs', MSRS) == {'EN','SF','MI','VIF','Qabf','AG'}
    assert rose(MEAN, GPU, ROAD) == {'EN','SD','MI','VIF','SSIM','intensity','grad','SCD'}

@pytest.mark.parametrize('metric', ['MI','VIF'])
def test_the_mean_had_the_most_of_all_rows_before(metric):
    before = [o for o in read('trials') if o['data'] == ROAD and not o['run'].startswith('from')]
    assert max(before, key=lambda o: float(o[metric]))['run'].startswith(MEAN)

def test_more_weight_on_edges():
    pair = 'from 91ddc13f2efc, alpha5='
    assert rose(pair+'20', pair+'10', ROAD) == {'EN','SD','MI','VIF','Qabf','SSIM','intensity','SCD'} and 'intensity' in rose(pair+'20', pair+'10', MSRS)

def test_the_gap_of_vif_is_coarse():
    vif = {k: o['VIF'] for k,o in images('pixels').items()}
    net, best = vif[f'network {START}'], vif['pixels, alpha5=20']
    for s in ('1.5','4'): assert vif[f'network, coarse part (sigma {s}) of the pixels'] >= best > net >= vif[f'network, fine part (sigma {s}) of the pixels']
    assert vif['network, coarse part (sigma 12) of the pixels'] - net > .5*(best - net)
    assert max(vif, key=vif.get) == 'pixels, edge_scales=3, alpha5=12'

@pytest.mark.parametrize('data', BOTH)
def test_scales_of_the_network(data):
    got = rose(SCALES, MEAN, data)
    assert {'MI','VIF','Qabf','SSIM','EN','intensity'} <= got and not {'SF','AG'} & got

def test_structure_and_whole_ssim_are_paid_for_differently():
    value = images('terms')
    part, whole, none = (value[k] for k in ('pixels, 8 × structure', 'pixels, 6 × SSIM', 'pixels'))
    assert abs(part['SSIM'] - whole['SSIM']) < .005 and min(part['SSIM'], whole['SSIM']) > none['SSIM'] + .02
    assert all(none[m] > part[m] > whole[m] for m in ('EN','SD','MI')) and all(none[m] + .002 > whole[m] > part[m] for m in ('VIF','Qabf'))
    assert all(none[m] > max(part[m], whole[m]) for m in ('SF','AG'))

def test_structure_of_the_network():
    assert rose(STRUCTURE, SCALES, ROAD) == {'MI','VIF','SSIM','grad','SCD'} and rose(STRUCTURE, SCALES, MSRS) == {'SSIM','intensity','grad','SCD'}
    chosen = next(o for o in read('trials') if 'f21a167a569d' in o['run'] and o['data'] == ROAD)
    for k in ('MI','VIF'): assert float(chosen[k]) == max(float(o[k]) for o in read('trials') if o['data'] == ROAD)

def test_brightness_depends_on_how_much_is_seen():
    gap = {(o['weights'], int(o['side'])): float(o['mean']) for o in read('extent')}
    first, then, last = '085a1c79c1eb', 'f21a167a569d', '27f1327c50fd'
    for w in (first, then, last): assert gap[w,80] > gap[w,112] > gap[w,160] > gap[w,192] > 1 and 16 < gap[w,80] < 18
    assert all(float(o['rest']) < .3*float(o['mean']) or o['side'] == '192' for o in read('extent'))
    assert all(gap[then,s] < gap[first,s] and abs(gap[last,s] - gap[then,s]) < 1 for s in (80,112,160,192))

def test_the_coarse_part_brings_grey_levels():
    value = images('coarse')
    net, up = value['network'], {p: value[f'network, {p} part × 1.1'] for p in ('coarse (beyond 12 px)','middle (3 to 12 px)','fine (below 3 px)')}
    assert [p for p,o in up.items() if o['EN'] > net['EN']] == ['coarse (beyond 12 px)'] == [max(up, key=lambda p: up[p]['SD'])]
    three, five, six, heavy = (value[f'pixels, edge_scales={s}, structure={w}'] for s,w in ((3,4),(5,4),(6,4),(3,8)))
    assert all(five[m] > three[m] for m in ('EN','SD','MI','VIF','SF','AG')) and all(round(three[m] - five[m], 3) <= .003 for m in ('Qabf','SSIM'))
    assert all(three[m] > heavy[m] for m in ('MI','VIF','Qabf')) and heavy['SSIM'] > three['SSIM']
    assert six['SD'] > five['SD'] and all(six[m] < five[m] + .005 for m in SCORES if m != 'SD')

@pytest.mark.parametrize('data, fell, beyond', [(ROAD, {'SF','SSIM'}, {'MI','SSIM'}), (MSRS, {'SD','SSIM'}, {'SSIM'})])
def test_the_last_run_and_the_step_beyond(data, fell, beyond):
    scores = set(SCORES)
    assert scores & rose('f21a167a569d', 'end', data, 'whole') == fell and scores & rose('end', 'beyond', data, 'whole') == beyond
    assert {'EN','SD','VIF'} <= rose('beyond', 'end', data, 'whole') and row('beyond', data, 'whole')['SSIM'] >= row('end', data, 'whole')['SSIM'] - .005

def test_the_last_run_is_further_from_the_brighter_source(): assert 'intensity' in rose('beyond', 'f21a167a569d', ROAD, 'whole')

def test_a_floor_in_pixels():
    (road,msrs), floor = (images('floor-RoadScene'), images('floor-MSRS')), 'pixels, α₅ = 0.8, structure 0.25, floor '
    gain = [{m: round(o[floor+'0.3'][m] - o[floor+'0.0'][m], 3) for m in SCORES} for o in (road,msrs)]
    assert [gain[0][m] for m in ('MI','VIF','SSIM','Qabf')] == [.78, .064, .082, -.017]
    assert min(gain[1][m] for m in ('MI','VIF','Qabf','SSIM')) > 0
    top, floored = msrs['brighter source'], {k: o for k,o in msrs.items() if k.startswith('pixels') and not k.endswith('0.0')}
    assert round(max(o['Qabf'] for o in msrs.values()) - top['Qabf'], 3) == .008 and len(floored) == 6
    half, one = (f'pixels, α₅ = 0.8, structure {w}, floor 0.3' for w in (.5, 1.))
    assert [k for k,o in floored.items() if o['VIF'] < top['VIF']] == [half, one]
    assert [round(road[one][m] - road[half][m], 3) for m in ('SSIM','VIF')] == [.005, -.053]
    assert [round(msrs[one][m] - msrs[half][m], 3) for m in ('VIF','Qabf','SSIM')] == [-.067, -.019, -.009]

def test_a_floor_in_the_network():
    rows = {(o['weights'].split()[-1], o['set']): o for n in ('bright','floor') for o in read(n)}
    more = lambda k, d, m, than='f3ba5a3417d7': round(float(rows[k,d][m]) - float(rows[than,d][m]), 3)
    last, both, even, less = 'f570d59c3fff', 'd11ea71efd47', '3d455f0fa55a', '704e4ea08151'
    for d,mi,vif in (('RoadScene',1.2,.09), ('MSRS',.6,.04)):
        assert round(more(last,d,'MI'), 1) == mi and round(more(last,d,'VIF'), 2) == vif and round(more(last,d,'SSIM'), 2) == .04
        assert more(last,d,'EN') < 0 < more(last,d,'sky')
    assert round(more(last,'RoadScene','Qabf'), 2) == -.02 and more(last,'MSRS','Qabf') == .01
    for d in ('RoadScene','MSRS'): # a share of the brightness
        assert more(both,d,'SSIM',even) == pytest.approx(.02, abs=.006)
        assert [m for m in ('MI','VIF','Qabf') if more(both,d,m,even) < -.001] == (['MI'] if d == 'MSRS' else [])
    for d in ('RoadScene','MSRS'): # under both cameras' edges, every step has its price
        assert all(more(less,d,m,both) > 0 for m in ('MI','VIF','SSIM'))
        assert all(more('2c22c0f18a9e',d,m,both) < 0 for m in ('MI','VIF','Qabf','SSIM'))
        assert all(abs(more(last,d,m,less)) <= .006 for m in ('VIF','Qabf','SSIM')) and abs(more(last,d,'MI',less)) < .1
    assert all(more(k,'RoadScene','Qabf',both) < 0 for k in ('48fc216aec52','93704c70ba4a')) and more(last,'RoadScene','Qabf',less) > 0
    assert weights_hash(load_model('ivf', 'cpu').state_dict()).startswith(last)
    mine = {r['dataset']: r for r in csv.DictReader((project_root()/'results/ivf.csv').open(encoding='utf-8')) if (r['method'],r['protocol']) == ('SMFNet','minmax')}
    assert [round(float(mine[d+'/test'][m]), 3) for d,m in (('MSRS','VIF'),('MSRS','Qabf'),('RoadScene','SSIM'),('TNO','SSIM'))] == [1.047, .705, .959, .997]

def test_what_a_person_sees():
    rows = {o['image']: {k: float(o[k]) for k in ('grain','texture')} for o in read('eye')}
    assert rows['visible']['texture'] == 1
    own, (old,both,less,now,fast) = rows['visible']['grain'], (rows[k] for k in ('f3ba5a3417d7','d11ea71efd47','704e4ea08151','f570d59c3fff','cf2c04f52259'))
    assert own == 1.822 and [round(o['grain'] - own, 2) for o in (old,both,now)] == [.93, .46, .43]
    assert [round(o['texture'], 2) for o in (old,both,now)] == [.59, .52, .57] and abs(now['grain'] - less['grain']) < .03
    floored = {k: o['texture'] for k,o in rows.items() if k not in ('visible','brighter source','f3ba5a3417d7','f570d59c3fff','cf2c04f52259')}
    assert len(floored) == 7 and now['texture'] > max(floored.values()) and round(floored['3d455f0fa55a'], 2) == .43
    assert fast['texture'] == max(o['texture'] for k,o in rows.items() if k != 'visible') and fast['grain'] == old['grain']

def test_how_eye_measures():
    "A flat sky has no grain, one bright pixel of nine in it has 8/9 of its step; half of the visible detail is 0.5, none 0, its negative -1; a window holds the place that is asked for."
    spec = importlib.util.spec_from_file_location('eye', project_root()/'benchmarks/eye.py'); eye = importlib.util.module_from_spec(spec); spec.loader.exec_module(eye)
    flat = torch.full((1,1,15,15), .8); dot = flat.clone(); dot[...,7,7] += .09
    here = torch.zeros_like(flat, dtype=torch.bool); here[...,7,7] = True
    assert abs(eye.grain(flat, flat, flat, here)) < 1e-4 and eye.grain(dot, flat, flat, here) == pytest.approx(255*.08, abs=1e-3)
    vi = .2 + .1*torch.rand(1,1,15,15, generator=torch.Generator().manual_seed(0))
    for share in (1., .5, 0., -1.): assert eye.texture(.4 + share*vi, flat, vi, here) == pytest.approx(share, abs=1e-3)
    ir = torch.full((1,1,240,320), .5); dim = torch.full_like(ir, .1); dim[...,160:230,200:310] += .2*torch.rand(70,110, generator=torch.Generator().manual_seed(1))
    where = eye.faint_texture(ir, dim)
    assert where[...,165:225,205:305].all() and not where[...,:150,:].any() and not eye.faint_texture(dim, ir).any() and not eye.bright_sky(ir, dim).any()
    class Pair: read = lambda self: type('Q', (), dict(ir=ir[0], vi=dim[0]))
    (_,_,found), = eye.windows([Pair()], eye.faint_texture, 3)
    assert found.shape[-2:] == (192,256) and found.sum() == where.sum() and eye.windows([Pair()], eye.bright_sky, 3) == []
