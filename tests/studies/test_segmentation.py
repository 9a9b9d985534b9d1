"Labels, scores from the confusion matrix, the segmenter, its loss and its pictures."
import math
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from smfnet.core.devices import set_seed
from smfnet.data.images import write_image
from smfnet.data.scenes.render import render_scene
from smfnet.data.scenes.scene import MFNET_CLASSES
from smfnet.studies.segmentation import (
    _CALM, _MISSED, _WRONG, _logits, _mirror, blind_score, class_weights, confusion, make_segmenter, mark_errors, read_labels, segment, segmentation_loss, segmentation_pairs,
    segmentation_scores, segmentation_task, show_confusion)
from smfnet.studies.task import TaskData, quiet

def extra():
    for o in ('transformers', 'faster_coco_eval', 'scipy'): pytest.importorskip(o, reason="the extra 'downstream' is not installed")

@pytest.fixture(scope='module')
def net():
    extra(); set_seed(0)
    return make_segmenter(MFNET_CLASSES)

DATA = TaskData(torch.randint(256, (3,3,48,64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)), [torch.zeros(48,64).long()]*3, _mirror)

def test_label_images(tmp_path):
    y = np.array([[0,1,1,8],[0,0,2,255]], np.uint8)
    Image.fromarray(y).save(tmp_path/'a.png')
    assert read_labels(tmp_path/'a.png').tolist() == y.tolist()
    assert set(read_labels(tmp_path/'a.png', (4,8)).unique().tolist()) == {0,1,2,8,255} # the nearest pixel, never a mean
    Image.fromarray(y*20).save(tmp_path/'b.png')
    with pytest.raises(ValueError, match='b.png holds the values'): read_labels(tmp_path/'b.png')
    Image.fromarray(np.stack([y]*3, -1)).save(tmp_path/'c.png')
    with pytest.raises(ValueError, match='is a colour image'): read_labels(tmp_path/'c.png')
    assert _mirror(torch.tensor([[1,2]])).tolist() == [[2,1]]

TRUTH, CALLED = torch.tensor([0,0,0,0, 1,1,1,1,1,1, 255]), torch.tensor([0,0,0,1, 1,1,1,1,0,0, 1])

def test_scores_by_hand():
    "Of four pixels of class 0 three are called 0, of six of class 1 four are called 1; the ignored pixel does not count."
    n = confusion(TRUTH, CALLED, 2)
    assert n.tolist() == [[3,1],[2,4]]
    s = segmentation_scores(n, ('a','b'))
    assert [s[k]['IoU'] for k in ('a','b','mean')] == pytest.approx([1/2, 4/7, (1/2+4/7)/2])
    assert [s[k]['Acc'] for k in ('a','b','mean')] == pytest.approx([3/4, 2/3, (3/4+2/3)/2])
    assert [s[k]['pixels'] for k in ('a','b','mean')] == [4,6,10]
    with pytest.raises(ValueError, match='differ in shape'): confusion(TRUTH, CALLED[1:], 2)

def test_a_class_that_does_not_occur_is_left_out_but_calling_it_costs():
    s = segmentation_scores(confusion(torch.tensor([0,0,1]), torch.tensor([0,2,1]), 3), ('a','b','c'))
    assert math.isnan(s['c']['IoU']) and math.isnan(s['c']['Acc']) and [s['a']['IoU'], s['mean']['IoU']] == pytest.approx([.5, .75])

def test_matrices_add_and_a_perfect_prediction_scores_one():
    assert segmentation_scores(confusion(TRUTH, TRUTH, 2), ('a','b'))['mean']['IoU'] == 1
    assert torch.equal(confusion(TRUTH[:5], CALLED[:5], 2) + confusion(TRUTH[5:], CALLED[5:], 2), confusion(TRUTH, CALLED, 2))

def test_blind_score_and_class_weights():
    nine = [torch.tensor([0]*18 + [1]*2 + [255])]
    assert blind_score(nine, ('a','b')) == pytest.approx(.9/2)
    assert class_weights(nine, 2, 0).tolist() == pytest.approx([1,1])
    w = class_weights(nine, 2, .5)
    assert [(w[1]/w[0]).item(), (.9*w[0]+.1*w[1]).item()] == pytest.approx([3,1], abs=1e-5)

def test_segmenter_labels_every_pixel_whatever_its_batch_mates(net, tmp_path):
    assert _logits(net, torch.rand(2,3,50,70)).shape == (2,9,50,70)
    a,b = segment(net.eval(), DATA), segment(net, DATA, batch=1)
    assert a.shape == (3,48,64) and (a == b).float().mean() > .999
    with quiet(): net.save_pretrained(tmp_path/'saved')
    assert torch.equal(segment(make_segmenter(MFNET_CLASSES, pretrained=tmp_path/'saved').eval(), DATA), a)
    assert make_segmenter(('a','b'), pretrained=tmp_path/'saved').config.num_labels == 2
    with pytest.raises(FileNotFoundError, match='holds no config.json'): make_segmenter(MFNET_CLASSES, pretrained=tmp_path)
    with pytest.raises(ValueError, match='segmenter must be'): make_segmenter(MFNET_CLASSES, 'huge')

class Fake(nn.Module):
    "A network whose logits are the image."
    def forward(self, pixel_values): return type('O', (), dict(logits=pixel_values))

def test_loss_is_cross_entropy_over_labelled_pixels():
    z,y = torch.randn(1,3,2,2), torch.tensor([[[0,1],[2,255]]])
    log = z[0].log_softmax(0)
    assert segmentation_loss()(Fake(), z, list(y))[0].item() == pytest.approx(-(log[0,0,0] + log[1,0,1] + log[2,1,0]).item()/3, abs=1e-6)
    assert segmentation_loss(torch.tensor([1.,0,0]))(Fake(), z, list(y))[0].item() == pytest.approx(-log[0,0,0].item(), abs=1e-6)

def test_loss_reaches_every_parameter(net):
    value,_ = segmentation_loss()(net.train(), *DATA.batch([0,1]))
    value.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for n,p in net.named_parameters() if 'conv_1x1' not in n) # the classifier's last layer, which the head does not use

def test_errors_are_marked_missed_or_wrong():
    s = render_scene(3, (96,128))
    truth = torch.from_numpy(s.labels).long()
    moved = truth.clone(); moved[truth == 1] = 0; moved[(truth == 1).roll(-6, 1)] = 1
    e = mark_errors(truth, moved)
    assert (e == _MISSED).all(-1).sum() == int(((truth == 1) & (moved == 0)).sum()) > 0
    assert (e == _WRONG).all(-1).sum() == int(((truth != 1) & (moved == 1)).sum()) > 0
    assert np.array_equal(mark_errors(truth, truth), _CALM[s.labels])
    n = confusion(truth, moved, 9)
    fig = show_confusion(n, MFNET_CLASSES)
    words = [t.get_text() for t in fig.axes[0].texts]
    assert f"{n[1,1]/n[1].sum():.2f}" in words and '1.00' in words
    plt.close(fig)

def test_pairs_and_their_labels(tmp_path):
    pairs = segmentation_pairs(size=(64,64), scenes=2)
    assert (pairs.words, len(pairs.parts['train'][0]), len(pairs.parts['test'][0])) == ('2 embedded scenes', 2, 2)
    for i in range(10):
        for k in ('ir','vi','labels'): write_image(tmp_path/'mine'/k/f'{i}.png', np.full((16,16), i % 9/255, np.float32))
    mine = segmentation_pairs(str(tmp_path/'mine'), size=(8,12))
    assert ({k: len(v[0]) for k,v in mine.parts.items()}, mine.words) == (dict(train=8, validation=1, test=1), 'mine, 8:1:1')
    for p,y in zip(*mine.parts['train']): assert y.shape == (8,12) and (y == int(p.name) % 9).all()
    (tmp_path/'mine'/'labels'/'3.png').unlink()
    with pytest.raises(ValueError, match='no label image for 1 of 10 pairs: 3;'): segmentation_pairs(str(tmp_path/'mine'))

def test_task_is_the_papers_and_presets_differ():
    pairs = segmentation_pairs(size=(64,64), scenes=2)
    task = segmentation_task(pairs, 'paper')
    assert task.budget() == '300 epochs of 8 at 640x480, sgd 0.01 constant' and task.config.train.total_steps(784) == 300*98
    assert len({segmentation_task(pairs, p).key for p in ('paper','gpu','cpu','smoke')}) == 4
    with pytest.raises(ValueError, match='preset must be one of'): segmentation_task(pairs, 'papper')
