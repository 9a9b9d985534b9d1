"What segmentation and detection share: kinds of image, one loop, and rows that are found by what they depend on."
from dataclasses import replace
from pathlib import Path
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from smfnet.core.devices import set_seed
from smfnet.data.colour import join_colour
from smfnet.data.images import to_bytes
from smfnet.data.pairs import PairFiles, resize_pair
from smfnet.data.scenes.render import render_scene
from smfnet.studies import task as room
from smfnet.studies.boxes import mirror_boxes
from smfnet.studies.detection import DETECTION_PRESETS
from smfnet.studies.task import (
    Task, TaskConfig, TaskData, TaskPairs, describe, fit, input_images, input_tags, load_inputs, need_extra, preset_config, read_study, recorded, study_folder, run_key,
    run_study, shown, task_inputs, three_parts, trained)
from smfnet.training.config import TrainConfig
from smfnet.training.state import read_log

SCENES = [render_scene(s, (64,96)).pair() for s in (0,1)]

def test_without_the_extra_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(room, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'smfnet\[downstream\]'"): need_extra()

# kinds of image

def test_shown_images_are_the_sources_or_fused_in_colour():
    pair = resize_pair(render_scene(3).pair(), (60,80))
    inputs = task_inputs('ir,vi,maximum')
    assert list(inputs) == ['ir','vi','maximum'] and pair.size == (60,80)
    assert torch.equal(shown('ir', pair)[2], pair.ir[0]) and torch.equal(shown('vi', pair), join_colour(pair.vi, pair.chroma))
    assert all(shown(inputs['maximum'], pair).mean() > shown(o, pair).mean() for o in ('ir','vi'))
    with pytest.raises(ValueError, match='inputs is empty'): task_inputs('')
    with pytest.raises(ValueError, match='unknown'): task_inputs('ir,magic')

def test_images_are_kept_and_a_folder_is_one_more_kind(tmp_path):
    maximum = task_inputs('maximum')['maximum']
    a = input_images(SCENES, maximum, (32,48), cache=tmp_path)
    assert (a.shape, a.dtype) == ((2,3,32,48), torch.uint8)
    assert torch.equal(input_images(SCENES, None, (32,48), cache=tmp_path), a) # nothing is fused: the source is not even a method
    assert torch.equal(input_images(SCENES, tmp_path, (32,48)), a)
    with pytest.raises(ValueError, match='no fused image for 1 of 1'): input_images([render_scene(2, (64,96)).pair()], tmp_path, (32,48))
    assert np.array_equal(input_images(SCENES, 'ir', (64,96))[1,0].numpy(), to_bytes(SCENES[1].ir))

def test_tags_tell_weights_and_files_apart(tmp_path):
    for name in ('a','b'): input_images(SCENES, 'ir', (32,48)); (tmp_path/name).mkdir(); (tmp_path/name/'x.png').write_bytes(name.encode())
    tags = input_tags(dict(ir='ir', maximum=max, a=tmp_path/'a', b=tmp_path/'b'))
    assert tags.keys() == {'a','b'} and tags['a'] != tags['b'] and input_tags(dict(c=tmp_path/'a'))['c'] == tags['a']
    net = dict(SMFNet=lambda ir,vi: ir)
    assert input_tags(net, 'ivf') != input_tags(net, 'mif') and len(input_tags(net)['SMFNet']) == 12

# data

def test_three_parts_are_8_1_1_and_disjoint():
    some = [PairFiles(f'{i}', Path(), Path()) for i in range(4200)]
    parts = three_parts(some)
    assert [len(o) for o in parts.values()] == [3360, 420, 420] and len({p for o in parts.values() for p in o}) == 4200
    assert three_parts(some) == parts != three_parts(some, seed=1)

def test_mirrored_images_carry_their_targets():
    box = torch.tensor([[0, .3, .5, .2, .1]])
    d = TaskData(torch.arange(12).byte().reshape(2,3,1,2), [box, box[:0]], mirror_boxes)
    x,t = d.batch([0,1])
    assert x[0,0,0,1] == (torch.tensor(1/255) - .45)/.25 and torch.equal(t[0], box)
    flips = [d.batch([0], seed=s) for s in range(8)]
    assert 0 < sum(bool(x[0,0,0,0] > x[0,0,0,1]) for x,_ in flips) < 8
    for x,t in flips: assert t[0][0,1].item() == pytest.approx(.7 if x[0,0,0,0] > x[0,0,0,1] else .3, abs=1e-6)

def made_pairs(targets, name='x', words='made up'):
    return TaskPairs(dict(train=(SCENES, targets), test=(SCENES, targets)), ('thing',), words)

def test_the_key_of_data_is_names_and_targets():
    t = [torch.zeros(3), torch.ones(3)]
    key = made_pairs(t).key
    assert made_pairs(t, words='in other words').key == key
    assert made_pairs([t[0], t[0]]).key != key and made_pairs([o.double() for o in t]).key != key
    renamed = TaskPairs(dict(train=([replace(p, name=p.name+'x') for p in SCENES], t), test=(SCENES, t)), ('thing',), '')
    assert renamed.key != key

def test_images_of_other_data_or_weights_are_kept_apart(tmp_path):
    pairs, kinds = made_pairs([torch.zeros(1)]*2), task_inputs('ir,maximum')
    load_inputs(pairs, kinds, (32,48), cache=tmp_path, tags=dict(maximum='t'))('maximum')
    load_inputs(pairs, kinds, (32,48), cache=tmp_path)('ir')
    assert {f.parent.relative_to(tmp_path).as_posix() for f in tmp_path.rglob('*.png')} == {f'{pairs.key}-48x32/{k}/maximum-t' for k in ('train','test')}

# the loop

G = torch.Generator().manual_seed(0)
TOY = TaskData((torch.rand(16,1,1,1, generator=G)*255).byte().expand(16,3,4,4), [torch.zeros(1)]*16)

def toy_loss(net, x, t):
    e = F.mse_loss(net(F.dropout(x, .1)).mean((1,2,3)), x.mean((1,2,3)))
    return e, dict(mse=e.item())

def toy_fit(folder, steps, optimizer):
    set_seed(0)
    cfg = TrainConfig(steps=steps, batch=4, lr=.02, schedule='constant', clip=0, device='cpu', optimizer=optimizer)
    return fit(TOY, folder, cfg, nn.Conv2d(3,1,1), toy_loss)

@pytest.mark.parametrize('optimizer', ['sgd','adamw'])
def test_the_loop_learns(tmp_path, optimizer):
    toy_fit(tmp_path, 40, optimizer)
    log = read_log(tmp_path)
    assert [r['step'] for r in log] == list(range(1,41)) and np.mean([r['mse'] for r in log[-8:]]) < np.mean([r['mse'] for r in log[:8]])/4

def test_more_images_in_a_batch_than_there_are_is_refused(tmp_path):
    with pytest.raises(ValueError, match='batch=32'): fit(TOY, tmp_path, TrainConfig(batch=32, steps=1, device='cpu'), nn.Conv2d(3,1,1), toy_loss)

# the study

def toy_task(built, words='made up', **over):
    def build(): built.append(1); return nn.Conv2d(3,1,1)
    score = lambda net,d: {'thing':dict(IoU=.2+.2*d.targets[0].item()+.02*torch.rand(1).item()), 'mean':dict(IoU=.3+.2*d.targets[0].item())}
    train = TrainConfig(steps=2, batch=4, lr=.02, schedule='constant', optimizer='adamw', device='cpu')
    config = replace(TaskConfig('toy', dict(kernel=1), None, ('thing',), (4,4), train, 'x'), **over)
    return Task(config, 'IoU', words, 'a convolution', build, toy_loss, score)

def toy_study(folder, built, inputs='ab', seeds=(0,1), tags=None, **over):
    part = {k: TaskData(TOY.images, [torch.tensor([float(v)])]*16) for k,v in (('a',0), ('b',1))}
    return run_study(toy_task(built, **over), lambda n: dict(train=part[n], test=part[n]), list(inputs), seeds, folder/'study', folder/'rows.csv', tags=tags)

def test_finished_runs_are_kept_and_a_new_seed_runs_only_itself(tmp_path):
    built = []
    rows = toy_study(tmp_path, built)
    assert (len(rows), len(built)) == (8, 4)
    assert toy_study(tmp_path, built) == read_study(tmp_path/'rows.csv') and len(built) == 4
    assert len(toy_study(tmp_path, built, seeds=(0,1,2))) == 12 and len(built) == 6
    task = toy_task([])
    assert run_key(rows[0]) == (task.key, 'a', '', '0') and len(read_log(study_folder(task, tmp_path/'study', 'b', 1))) == 2
    with pytest.raises(FileNotFoundError, match='holds no state'): trained(task, tmp_path/'study', 'c', 0)
    assert read_study(tmp_path/'none.csv') == []

def test_words_are_not_compared_and_settings_are(tmp_path):
    built = []
    toy_study(tmp_path, built, 'a', (0,))
    toy_study(tmp_path, built, 'a', (0,), words='the same in other words')
    assert len(built) == 1
    changes = (dict(classes=('other',)), dict(size=(4,8)), dict(data='y'), dict(network=dict(kernel=3)), dict(start='s'), dict(class_power=.5), dict(task='other'))
    keys = {toy_task([]).key} | {toy_task([], **o).key for o in changes}
    train = toy_task([]).config.train
    keys |= {toy_task([], train=replace(train, **o)).key for o in (dict(steps=3), dict(lr=.01), dict(optimizer='sgd'), dict(augment=True))}
    assert len(keys) == 1 + 7 + 4
    assert toy_task([], train=replace(train, device='auto', save_minutes=9.)).key == toy_task([]).key

def test_rows_of_other_weights_are_replaced_and_trained_anew(tmp_path):
    toy_study(tmp_path, [])
    more = toy_study(tmp_path, [], 'a', (0,), tags=dict(a='other'))
    assert [r['weights'] for r in more] == ['other']*2 and len(read_study(tmp_path/'rows.csv')) == 8
    assert len(read_log(study_folder(toy_task([]), tmp_path/'study', 'a', 0, 'other'))) == 2 # not taken up from the state that the old weights left
    assert [r['weights'] for r in read_study(tmp_path/'rows.csv') if (r['input'], r['seed']) == ('a','0')] == ['other']*2

def test_a_study_is_described_and_recorded_by_its_key(tmp_path):
    rows = toy_study(tmp_path, [])
    assert 'a convolution, 2 steps of 4 at 4x4, adamw 0.02 constant; made up: trained on 16 images, tested on 16, 2 seeds.' in describe(rows)
    assert describe([]) == 'No run has finished.' and describe([dict(r, weights='w') for r in rows]).endswith('Weights: w.')
    (tmp_path/'rows.csv').rename(tmp_path/'toy.csv')
    assert list(recorded('toy', tmp_path)) == [toy_task([]).key] and recorded('none', tmp_path) == {}

def test_presets_and_what_the_user_changed():
    assert preset_config(DETECTION_PRESETS, 'cpu', epochs=2)[0].steps is None and preset_config(DETECTION_PRESETS, 'cpu', steps=7)[0].steps == 7
    cfg,rest = preset_config(DETECTION_PRESETS, 'paper')
    assert cfg.optimizer == 'sgd' and rest == dict(size=(480,640), detector='r18')
    with pytest.raises(ValueError, match='preset must be one of'): preset_config(DETECTION_PRESETS, 'papper')
