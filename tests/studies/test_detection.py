"The detector, its loss, its score, its pictures and where its boxes come from."
import math
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from smfnet.core.devices import set_seed
from smfnet.data.images import write_image
from smfnet.data.scenes.render import render_scene
from smfnet.data.scenes.scene import M3FD_CLASSES
from smfnet.studies.boxes import mirror_boxes, scene_boxes
from smfnet.studies.budgets import digest
from smfnet.studies.detection import (
    _corner_boxes, _pad_to, average_precision, detect, detection_loss, detection_pairs, detection_task, make_detector, scene_start, show_boxes, start_config)
from smfnet.studies.task import TaskData, quiet, start_key
from smfnet.training.state import read_log

def extra():
    for o in ('transformers', 'faster_coco_eval', 'scipy'): pytest.importorskip(o, reason="the extra 'downstream' is not installed")

@pytest.fixture(scope='module')
def net():
    extra(); set_seed(0)
    return make_detector(('person','car'))

@pytest.fixture(scope='module')
def saved(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp('saved')
    with quiet(): net.save_pretrained(folder)
    return folder

def test_weights_from_a_folder(net, saved):
    again = make_detector(('person','car'), pretrained=saved)
    assert net.config.id2label == {0:'person', 1:'car'}
    for a,b in zip(net.state_dict().values(), again.state_dict().values()): assert torch.equal(a, b)
    assert make_detector(('person',), pretrained=saved).config.num_labels == 1
    with pytest.raises(ValueError, match='detector must be'): make_detector(('person',), 'huge')

def test_weights_of_another_network_or_none_are_refused(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no config.json'): start_key(tmp_path)
    (tmp_path/'config.json').write_text((saved/'config.json').read_text())
    save_file({'x':torch.zeros(1)}, tmp_path/'model.safetensors', metadata=dict(format='pt'))
    with pytest.raises(ValueError, match='weights of another network'): make_detector(('person','car'), pretrained=tmp_path)
    assert len(start_key(saved)) == 12 and start_key(saved) != start_key(tmp_path)

def test_padding_moves_boxes_along():
    x,scale = _pad_to(torch.ones(1,3,60,80), 32)
    assert x.shape == (1,3,64,96) and scale.tolist() == pytest.approx([80/96, 60/64]*2)
    assert _corner_boxes([(.5,.5,.5,.5)], 640, 480) == [[160,120,320,240]]

def test_loss_reaches_every_part_and_finds_are_ordered(net):
    two = TaskData(torch.randint(256, (2,3,60,80), dtype=torch.uint8), [torch.tensor([[0,.3,.4,.2,.3],[1,.6,.5,.3,.2]]), torch.zeros(0,5)], mirror_boxes)
    value,terms = detection_loss(net.train(), *two.batch([0,1]))
    value.backward()
    lost = [n for n,p in net.named_parameters() if p.requires_grad and p.grad is None and 'denoising' not in n and 'decoder.class_embed' not in n]
    assert not lost and terms.keys() == {'vfl','bbox','giou'}
    hits = detect(net.eval(), two, keep=7)
    assert [o.shape for o in hits] == [(7,6)]*2 and (hits[0][:-1,5] >= hits[0][1:,5]).all()

A,B = (.3,.3,.24,.2), (.7,.7,.24,.2)
def T(*rows): return torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
def H(*rows): return torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)

@pytest.mark.parametrize('truth, found, want', [
    ([T((0,*A))], [H((0,*A,.9))], 1),
    ([T((0,*A),(0,*B))], [H((0,*A,.9))], 51/101),                    # precision 1 up to recall 1/2, 0 beyond
    ([T((0,*A))], [H((0,*B,.9),(0,*A,.8))], .5),                     # a wrong box ahead
    ([T((0,*A))], [H((0,*A,.9),(0,*B,.8))], 1),                      # a wrong box behind
    ([T((0,*A))], [H((0,A[0]+.07,*A[1:],.9))], 1),                   # IoU (.24-.07)/(.24+.07) = .548
    ([T((0,*A))], [H((0,A[0]+.09,*A[1:],.9))], 0),                   # .4545
    ([T((0,*A))], [H((1,*A,.9))], 0),                                # right place, wrong class
    ([T((0,*A)), T((0,*B))], [H((0,*A,.9)), H()], 51/101),           # over images
    ([T((0,*A))], [H()], 0)])
def test_average_precision_by_hand(truth, found, want):
    extra()
    assert average_precision(truth, found, ('person','car'))['person']['AP50'] == pytest.approx(want, abs=1e-6)

def test_a_class_without_boxes_does_not_count():
    extra()
    r = average_precision([T((0,*A))], [H((0,*A,.9))], ('person','car'))
    assert math.isnan(r['car']['AP50']) and r['mean'] == r['person'] and r['car']['boxes'] == 0

def test_pictures_show_truth_and_confident_finds():
    s = render_scene(3, (96,128))
    truth = torch.from_numpy(scene_boxes(s)).float()
    found = torch.cat([truth, torch.linspace(.9,.1,len(truth))[:,None]], 1)
    images = {k: torch.zeros(3,96,128, dtype=torch.uint8) for k in ('ir','vi')}
    fig, few = (show_boxes(images, truth, {'vi': found}, M3FD_CLASSES, **o) for o in ({}, dict(most=1)))
    assert [len(a.patches) for a in fig.axes] == [len(truth), len(truth) + int((found[:,5] >= .3).sum())] and len(few.axes[1].patches) == len(truth) + 1
    plt.close('all')

def test_embedded_scenes_as_data():
    pairs = detection_pairs(scenes=2, size=(64,64))
    assert {k: len(v[0]) for k,v in pairs.parts.items()} == dict(train=2, test=2) and (pairs.classes, pairs.words) == (M3FD_CLASSES, '2 embedded scenes')
    assert torch.allclose(pairs.parts['train'][1][1].double(), torch.from_numpy(scene_boxes(render_scene(1, (64,64)))), atol=1e-6)
    assert detection_pairs(scenes=2, size=(64,64), seed=1).key != pairs.key

def test_a_folder_is_divided(tmp_path):
    for i in range(20):
        for k in ('ir','vi'): write_image(tmp_path/'mine'/k/f'{i}.png', np.zeros((16,16), np.float32))
        (tmp_path/'mine'/'boxes').mkdir(exist_ok=True)
        (tmp_path/'mine'/'boxes'/f'{i}.txt').write_text('0 .5 .5 .2 .2')
    pairs = detection_pairs(str(tmp_path/'mine'))
    assert {k: len(v[0]) for k,v in pairs.parts.items()} == dict(train=16, validation=2, test=2) and pairs.words == 'mine, 8:1:1'
    assert torch.allclose(pairs.parts['test'][1][1], torch.tensor([[0,.5,.5,.2,.2]]))

def test_task_is_the_papers_or_what_the_user_changed():
    pairs = detection_pairs(scenes=2, size=(64,64))
    task = detection_task(pairs, 'paper')
    assert task.budget() == '100 epochs of 8 at 640x480, sgd 0.01 constant' and task.config.train.total_steps(3360) == 42_000
    assert detection_task(pairs, 'cpu', steps=7).budget() == '7 steps of 4 at 160x120, adamw 0.0005 cosine'
    assert len({detection_task(pairs, p).key for p in ('paper','gpu','cpu','smoke')}) == 4

@pytest.mark.slow
def test_a_start_is_learnt_once_and_known_by_its_configuration(tmp_path):
    extra()
    small = dict(scenes=2, steps=1, size=(64,96), device='cpu')
    start = scene_start(tmp_path, **small)
    when = (start/'model.safetensors').stat().st_mtime_ns
    assert scene_start(tmp_path, **small) == start and (start/'model.safetensors').stat().st_mtime_ns == when and len(read_log(start/'training')) == 1
    assert start.name == start_key(start) == digest(start_config(2, 1, (64,96))) != digest(start_config(2, 2, (64,96)))
    task = detection_task(detection_pairs(scenes=2, size=(64,64)), pretrained=start)
    assert task.network == 'RT-DETR v2 from 2 scenes, 1 steps' and task.config.start == start.name and task.config.network is None
    weights = [make_detector(task.config.classes, pretrained=start) if o is None else o for o in (None, task.build())]
    same = [torch.equal(a, b) for a,b in zip(*(n.state_dict().values() for n in weights))]
    assert sum(same) > .9*len(same) # all but the layers that score classes
