"Figures: the two patches, the figure, and what the run notebook needs."
import math
import numpy as np
import pytest, torch
from smfnet.companion.figures import _box_mean, find_patches, job_row, job_scores, mean_scores, scene_files, show_fused
from smfnet.data.colour import luma
from smfnet.data.images import read_image, to_bytes, write_image
from smfnet.data.pairs import match_pairs
from smfnet.data.scenes.render import render_scene
from smfnet.fusing.folders import Job
from smfnet.metrics.paper import METRICS

def test_box_mean_is_the_mean_of_each_box():
    r = np.random.default_rng(0).random((9,7))
    assert _box_mean(r, 3).shape == (7,5)
    assert _box_mean(r, 3)[4,2] == pytest.approx(r[4:7,2:5].mean(), abs=1e-9)
    assert np.allclose(_box_mean(r, 1), r, atol=1e-9)

def test_patches_cover_what_one_source_alone_sees():
    one,other = np.zeros((80,100)), np.zeros((80,100))
    one[10:20,10:20] = 1; other[50:60,70:80] = 1
    (y0,x0,s),(y1,x1,_) = find_patches(one, other)
    assert s == 20 and y0 <= 10 and 20 <= y0+s and x0 <= 10 and 20 <= x0+s
    assert y1 <= 50 and 60 <= y1+s and x1 <= 70 and 80 <= x1+s

def test_patches_change_places_with_the_sources():
    one,other = np.zeros((80,100)), np.zeros((80,100))
    one[10:20,10:20] = 1; other[50:60,70:80] = 1
    for p,q in zip(find_patches(other, one), find_patches(one, other)[::-1]): assert max(abs(p[0]-q[0]), abs(p[1]-q[1])) < 12

def test_patches_never_overlap():
    rng = np.random.default_rng(1)
    for _ in range(20):
        (y0,x0,s),(y1,x1,_) = find_patches(rng.random((40,56)), rng.random((40,56)))
        assert abs(y0-y1) >= s or abs(x0-x1) >= s

def test_figure_has_three_images_and_six_patches_a_row(scene):
    pytest.importorskip('matplotlib')
    row = scene.ir, scene.vi, .5*scene.ir[...,None] + .5*scene.vi, 'the mean'
    for n in (1,2): assert len([o for o in show_fused([row]*n, width=3).axes if o.images]) == 9*n

@pytest.fixture
def job(tmp_path):
    "A pair of files and the file that was made of them: here, their mean."
    files = scene_files(tmp_path/'scene', 5, size=(64,80))
    pair = files.read()
    mean = (pair.ir[0] + pair.vi[0]).numpy()/2
    return Job(files, write_image(tmp_path/'fused.png', mean))

def test_scene_becomes_two_files_that_match(tmp_path):
    files = scene_files(tmp_path, 5, size=(64,80))
    assert (files.name, files.ir.name, files.vi.name) == ('scene00005', 'scene00005_ir.png', 'scene00005_vi.png')
    assert match_pairs(files.ir, files.vi) == [files]
    assert (to_bytes(read_image(files.vi)) == to_bytes(render_scene(5, size=(64,80)).vi)).all()

def test_row_of_a_job_is_read_from_its_files(job):
    ir, vi, fused, name = job_row(job)
    assert ir.shape == (64,80) and vi.shape == (64,80,3) and fused.shape == (64,80) and name == 'scene00005'
    assert np.abs(fused - (ir + luma(vi))/2).max() < .01

def test_scores_of_a_job_are_those_of_the_written_file(job):
    got = job_scores(job)
    assert list(got)[:2] == ['EN','SD'] and set(METRICS) <= set(got) and all(math.isfinite(float(o)) for o in got.values())
    assert float(got['SD']) == pytest.approx((read_image(job.out)*255).std(), abs=.02)

def test_scores_are_averaged_over_pairs():
    assert mean_scores([dict(a=1, b=2), dict(a=3, b=torch.tensor(4.))]) == dict(a=2., b=3.)
    with pytest.raises(ValueError, match='no scores'): mean_scores([])

def test_a_small_pair_is_scored_without_vif(tmp_path):
    s = render_scene(0, size=(64,80))
    for k,x in dict(ir=s.ir, vi=s.vi, f=s.ir).items(): write_image(tmp_path/k/'a.png', x[20:40,20:44])
    job = Job(match_pairs(tmp_path/'ir', tmp_path/'vi')[0], tmp_path/'f'/'a.png')
    got = job_scores(job)
    assert list(got) == list(METRICS) and math.isnan(got['VIF']) and all(math.isfinite(v) for k,v in got.items() if k != 'VIF')
    mean = mean_scores([got, {k: 2. for k in METRICS}])
    assert mean['VIF'] == 2 and mean['SD'] == pytest.approx((got['SD'] + 2)/2) and math.isnan(mean_scores([got])['VIF'])
