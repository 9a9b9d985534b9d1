"The recorded results agree with themselves and are found by their keys, and the sentences of the evidence pages follow from them."
import math, os, re
import numpy as np
import pytest
from smfnet.core.files import project_root
from smfnet.data.scenes.scene import MFNET_CLASSES
from smfnet.metrics.paper import METRICS
from smfnet.scoring.score import read_rows
from smfnet.scoring.tables import published, wide
from smfnet.studies.ablation import TABLE5, agreement, differences
from smfnet.studies.budgets import ABLATION, MEDICAL, ROWS, digest, settings
from smfnet.studies.detection import detection_pairs, detection_task, start_config
from smfnet.studies.medical import KINDS, MEDICAL_COLUMNS, medical_key, medical_means
from smfnet.studies.report import by_seed
from smfnet.studies.runs import PROVENANCE
from smfnet.studies.segmentation import segmentation_pairs, segmentation_task
from smfnet.studies.task import read_study, recorded

RESULTS = project_root()/'results'
ABLATED, MEDICAL_ROWS = read_rows(RESULTS/'ablation.csv'), read_rows(RESULTS/'mif.csv')
TASKS = {'segmentation':('IoU', len(MFNET_CLASSES)), 'detection':('AP50', 2)}
needs_data = pytest.mark.skipif(not os.environ.get('SMFNET_DATA'), reason='SMFNET_DATA is not set')

# found by their keys

@pytest.mark.parametrize('rows, columns', [(ABLATED, PROVENANCE), (MEDICAL_ROWS, MEDICAL_COLUMNS)], ids=('ablation','medical'))
def test_rows_say_where_they_come_from(rows, columns):
    assert all(r[c] != '' for r in rows for c in columns)
    for r in rows: assert all(re.fullmatch('[0-9a-f]{12}', r[c]) for c in ('config', 'test_data', 'weights' if 'row' in columns else 'sha256')) and int(r['n']) > 0
    assert len({r['test_data'] for r in rows}) == (1 if 'row' in columns else len({r['kind'] for r in rows}))

def test_ablation_is_found_by_the_keys_of_its_budget():
    small = ABLATION['small']
    assert {(r['row'], r['seed'], r['config']) for r in ABLATED} == {(k, str(s), digest(*settings(k, small, s))) for k in ROWS for s in small.seeds}

def test_medical_runs_are_found_by_the_keys_of_their_budget():
    assert {(r['weights'], r['kind'], r['config']) for r in MEDICAL_ROWS} == {
        (w, k, medical_key(MEDICAL['small'], k, sha)) for w,sha in {(r['weights'], r['sha256']) for r in MEDICAL_ROWS} for k in KINDS}

@needs_data
def test_segmentation_is_found_by_the_key_of_its_preset():
    task = segmentation_task(segmentation_pairs('MSRS/train->MSRS/test'), 'cpu')
    assert list(recorded('segmentation')) == [task.key]
    assert {(r['data'], r['network'], r['budget']) for r in read_study(RESULTS/'segmentation.csv')} == {(task.data, task.network, task.budget())}

@needs_data
def test_detection_is_found_by_the_key_of_its_preset(tmp_path):
    (tmp_path/'config.json').touch()
    (tmp_path/'made_by.txt').write_text(f'{digest(start_config())} 150 scenes, 2000 steps') # as `scene_start` leaves it
    task = detection_task(detection_pairs('MSRS/train->MSRS/detection_test'), 'cpu', pretrained=tmp_path, steps=1500)
    assert list(recorded('detection')) == [task.key]
    assert {(r['data'], r['network'], r['budget']) for r in read_study(RESULTS/'detection.csv')} == {(task.data, task.network, task.budget())}

@pytest.mark.parametrize('name', TASKS)
def test_recorded_studies_agree_with_themselves(name):
    metric, classes = TASKS[name]
    rows = read_study(RESULTS/f'{name}.csv')
    for r in rows:
        assert re.fullmatch('[0-9a-f]{12}', r['config']) and r['task'] == name and r['network'] and r['budget'] and r['images'] > 0
        assert bool(r['weights']) == (r['input'] == 'SMFNet') and (math.isnan(r[metric]) or 0 <= r[metric] <= 1)
    for key in {(r['config'], r['input'], r['seed']) for r in rows}:
        mine = [r for r in rows if (r['config'], r['input'], r['seed']) == key]
        mean = [r[metric] for r in mine if r['class'] == 'mean']
        assert len(mine) == classes+1 and len(mean) == 1 and abs(np.nanmean([r[metric] for r in mine if r['class'] != 'mean']) - mean[0]) < 1e-5
    for mine in recorded(name).values():
        seeds = {k: set(v) for k,v in by_seed(mine, metric).items()}
        assert set(seeds) == {'ir','vi','average','maximum','SMFNet'} and all(v == set(range(3)) for v in seeds.values())
        assert len({r['weights'] for r in mine if r['input'] == 'SMFNet'}) == 1, 'rows of two kinds of weights in one table'

# what evidence/ablation says

@pytest.fixture(scope='module')
def diffs(): return differences(ABLATED)

def moved(diffs, row): return [[d['metric'] for d in diffs if (d['row'], d['verdict']) == (row, v)] for v in ('higher','lower')]

def test_ablation_what_agrees_and_what_does_not(diffs):
    both = agreement(diffs)
    assert {('one_stage', m) for m in ('EN','SD','VIF')} | {('plain_inn', m) for m in ('SD','VIF')} | {('swapped_fusion','SD')} <= set(both['same'])
    assert {('no_residual','SD'), ('no_residual','VIF'), ('no_graph','SD'), ('swapped_fusion','SSIM')} <= set(both['opposite'])
    assert {(k,m) for k in ('both_cc_graph','no_intensity_semantic') for m in TABLE5} <= set(both['undecided'])

def test_ablation_one_seed_decides_too_much(diffs):
    decided = lambda a: len(a['same']) + len(a['opposite'])
    assert decided(agreement(differences([r for r in ABLATED if r['seed'] == '0']))) == 22 and decided(agreement(diffs)) == 10

def test_ablation_beyond_the_paper(diffs):
    assert moved(diffs, 'alphas_as_printed')[1] == ['SF','SCD','Qabf','AG']
    assert moved(diffs, 'dilated_nodes') == [['SCD','VIF','Qabf','SSIM'], []]
    assert moved(diffs, 'gram_patches') == [['SD','SCD','VIF','SSIM'], []]
    assert moved(diffs, 'lovasz_released') == [['SF','AG'], ['SCD']]
    assert moved(diffs, 'signed_edges') == [['SCD','VIF','Qabf','SSIM'], ['EN','SF','AG']]
    assert moved(diffs, 'three_scales') == [['SD','MI','SCD','VIF','SSIM'], ['SF','AG']]
    assert moved(diffs, 'two_branch') == [[], ['SCD','VIF']]
    by = {(d['row'], d['metric']): d['difference'] for d in diffs}
    assert round(by['signed_edges','SSIM'], 2) == .05 and round(by['three_scales','SD'], 1) == 4.3
    mean_of = lambda k,m: np.mean([float(r[m]) for r in ABLATED if r['row'] == k and r['protocol'] == 'minmax'])
    for m in ('VIF','MI','SCD'): assert max(ROWS, key=lambda k: mean_of(k,m)) == 'three_scales'

# what evidence/medical says

@pytest.fixture(scope='module')
def at():
    m = {(k, r['method'], r['background'], r['fused']): r for k in KINDS for r in medical_means(MEDICAL_ROWS, k)}
    return lambda kind, w, background='black kept': m[kind, f'SMFNet, {w}', background, 'as fused']

def test_medical_training_moves_the_picture_little(at):
    change = {k: {c: at(k,'mif')[c] - at(k,'ivf')[c] for c in METRICS} for k in KINDS}
    for k,d in change.items():
        assert all(abs(v) < .14 for c,v in d.items() if c not in ('SD','SF'))
        assert abs(d['VIF']) < .02 and abs(d['Qabf']) < .006 and -.08 < d['MI'] < -.06
    one = {r['method']: r for r in wide(published(4)) if 'SMFNet' in r['method']}
    ours, star = (next(r for m,r in one.items() if w in m) for w in ('IVF', 'MIF'))
    for c in ('MI','VIF','Qabf'): assert at('MRI-PET','ivf')[c] > max(float(ours[c]), float(star[c]))
    assert [round(float(star[c]) - float(ours[c]), 2) for c in ('SSIM','MI','VIF','Qabf')] == [1.29, .07, .09, .02]

def test_medical_background_alone_moves_ssim_between_the_two_groups(at):
    for k in KINDS:
        raw = {w: at(k,w,'as the network gives it')['SSIM'] for w in ('ivf','mif')}
        assert .4 < raw['ivf'] < .6 and .65 < raw['mif'] < 1.2
        for w in raw: assert 1.3 < at(k,w)['SSIM'] < 1.6
    gain = [round(at(k,'mif','as the network gives it')['SSIM'] - at(k,'ivf','as the network gives it')['SSIM'], 2) for k in KINDS]
    assert dict(zip(KINDS, gain)) == {'MRI-CT': .62, 'MRI-PET': .16, 'MRI-SPECT': .40}
    raw = [float(r['SSIM']) for r in MEDICAL_ROWS if (r['weights'],r['background'],r['protocol']) == ('mif','network','none')]
    assert len(raw) == 30 and sum(o > 1 for o in raw) == 15

# what evidence/machines says

def test_machines_detection():
    for rows in recorded('detection').values():
        person, car = (by_seed(rows, 'AP50', c) for c in ('person','car'))
        said = lambda v: (round(float(np.mean(list(v.values()))), 2), round(min(v.values()), 2), round(max(v.values()), 2))
        assert said(person['ir']) == (.21, .13, .28) and said(person['SMFNet']) == (.04, .01, .07)
        assert max(v for k in ('vi','average','maximum') for v in person[k].values()) <= .01
        means = [np.mean(list(v.values())) for v in car.values()]
        assert (round(min(means), 2), round(max(means), 2)) == (.01, .06)
        assert {r['class']: r['boxes'] for r in rows} == dict(person=39, car=12, mean=51) and {(r['images'], r['tested']) for r in rows} == {(263, 23)}

def test_machines_segmentation():
    for rows in recorded('segmentation').values():
        person, mean = (by_seed(rows, 'IoU', c) for c in ('person','mean'))
        assert min(person['ir'].values()) > 5*max(v for k in person if k != 'ir' for v in person[k].values())
        assert all(v > r['floor'] for r in rows for k in mean for v in mean[k].values())
        rare = [r['IoU'] for r in rows if r['class'] in ('bike','curve','color cone','bump')]
        assert np.median(rare) < .01 and max(rare) < .1

def test_machines_table_3_leaves_a_share_for_the_guardrail():
    row = next(r for r in wide(published(3)) if r['method'] == 'SMFNet')
    assert round(9*row['mIoU'] - sum(v for k,v in row.items() if k in MFNET_CLASSES), 3) == .077 and row['mIoU'] == .397
