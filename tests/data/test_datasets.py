"Named data sets, faults found first, validation without leaks."
import os
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from smfnet.core.files import data_root
from smfnet.data.archive import pack_patches
from smfnet.data.colour import luma
from smfnet.data.datasets import (
    DATASETS, _content_hash, _dataset_folder, check_pairs, find_labels, find_pairs, grey_bytes, modality_folders, shared_content, split_validation)
from smfnet.data.images import read_image, to_bytes, write_image
from smfnet.data.pairs import PairFiles

def test_the_table():
    assert len(DATASETS) == 12 and all(o.source.startswith('https://') and o.licence for o in DATASETS.values())
    o = DATASETS['Harvard/MRI_PET/test']
    assert (o.ir, o.vi) == ('MRI', 'PET')                    # colour is carried over from vi

def test_a_missing_set_says_where_to_get_it(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="'TNO' is unknown; known are TNO/test"): _dataset_folder('TNO', tmp_path)
    with pytest.raises(FileNotFoundError, match=r'figshare.1008029 \(CC BY 4.0\)'): _dataset_folder('TNO/test', tmp_path)
    monkeypatch.delenv('SMFNET_DATA', raising=False)
    with pytest.raises(FileNotFoundError, match='set SMFNET_DATA .* TNO/test/ir and TNO/test/vi'): find_pairs('TNO/test')
    for s in ('ir', 'vi'): (tmp_path/'TNO/test'/s).mkdir(parents=True)
    assert _dataset_folder('TNO/test', tmp_path) == tmp_path/'TNO/test'
    with pytest.raises(ValueError, match='no image file'): find_pairs('TNO/test', tmp_path)

def test_folders_of_other_names(tmp_path):
    for s in ('Infrared', 'Visible', 'notes'): (tmp_path/'mine'/s).mkdir(parents=True)
    assert modality_folders(tmp_path/'mine') == (tmp_path/'mine'/'Infrared', tmp_path/'mine'/'Visible')
    with pytest.raises(ValueError, match='it holds mine'): modality_folders(tmp_path)
    with pytest.raises(ValueError, match='it holds no folder'): modality_folders(tmp_path/'mine'/'notes')
    (tmp_path/'mine'/'ir').mkdir()                           # two for infrared: which one is meant?
    with pytest.raises(ValueError, match='should hold one folder of ir/infrared'): modality_folders(tmp_path/'mine')

def test_pairs_of_a_set(road):
    pairs = find_pairs('RoadScene/train', road)
    assert [p.name for p in pairs] == ['a','b','c','small']
    assert find_pairs(road/'RoadScene/train') == pairs
    two = find_pairs('RoadScene/train+RoadScene/train', road)
    assert len(two) == 8 and two[4].name == 'RoadScene-train-a'

def test_sets_that_are_none(road):
    with pytest.raises(ValueError, match=r"joined by '\+'"): find_pairs('RoadScene/train+mine', road)
    with pytest.raises(ValueError, match="'nowhere' is unknown"): find_pairs('nowhere', road)

def test_labels(tmp_path):
    for s in ('ir', 'vi', 'labels'): (tmp_path/'MSRS/test'/s).mkdir(parents=True)
    for n in ('00004N.png', '.hidden.png', 'readme.txt'): (tmp_path/'MSRS/test/labels'/n).touch()
    assert find_labels('MSRS/test', data=tmp_path) == {'00004N': tmp_path/'MSRS/test/labels/00004N.png'}
    with pytest.raises(ValueError, match='has no boxes'): find_labels('MSRS/test', 'boxes', data=tmp_path)
    with pytest.raises(ValueError, match="not 'masks'"): find_labels('MSRS/test', 'masks', data=tmp_path)
    for s in ('ir', 'vi'): (tmp_path/'MSRS/train'/s).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match='labels is missing; get the labels of MSRS/train from https'): find_labels('MSRS/train', data=tmp_path)

def test_all_faults_in_one_message(pairs, tmp_path):
    cut = tmp_path/'cut.png'
    cut.write_bytes(pairs[0].ir.read_bytes()[:-5000])
    odd = [PairFiles('odd', pairs[0].ir, pairs[1].vi), PairFiles('cut', cut, pairs[0].vi), PairFiles('gone', tmp_path/'gone.png', pairs[0].vi)]
    assert check_pairs(pairs, decode=True) == pairs
    with pytest.raises(ValueError, match='2 of 7 pairs cannot be used: odd: a.png is 340x150 pixels and b.png 128x128; gone:'): check_pairs(pairs + odd)
    with pytest.raises(ValueError, match='3 of 3 .*cut.png is damaged'): check_pairs(odd, decode=True)
    with pytest.raises(ValueError, match=r'gone.png.*; \.\.\.$'): check_pairs(odd[2:]*3, show=2)
    with pytest.raises(ValueError, match='no pairs'): check_pairs([])

def test_damaged_pictures_are_named_and_nothing_is_written(tmp_path, make_set):
    d = make_set(tmp_path/'set', 8)
    for i in (1, 3): (d/'ir'/f'{i:03d}.png').write_bytes(b'\x89PNG')
    (d/'vi'/'005.png').write_bytes((d/'vi'/'005.png').read_bytes()[:2000])
    with pytest.raises(ValueError, match='2 of 8 pairs cannot be used: 001: .*; 003: '): pack_patches(find_pairs(d), tmp_path/'p.npy', size=32)
    for i in (1, 3): write_image(d/'ir'/f'{i:03d}.png', np.random.rand(64,80))
    with pytest.raises(ValueError, match='1 of 8 pairs cannot be used: 005: .*005.png is damaged'): check_pairs(find_pairs(d), decode=True)
    with pytest.raises(ValueError, match='005.png is damaged'): pack_patches(find_pairs(d), tmp_path/'p.npy', size=32)
    assert [p.name for p in tmp_path.iterdir()] == ['set']
    (d/'vi'/'007.png').unlink()
    with pytest.raises(ValueError, match='without a partner: infrared 007.png; visible none'): find_pairs(d)

MANY = [PairFiles(f'{i:03d}', Path(f'{i}.png'), Path(f'{i}.png')) for i in range(100)]

def test_validation_does_not_depend_on_the_order():
    train, held = split_validation(MANY, 20)
    assert (len(train), len(held)) == (80, 20) and sorted(train+held, key=lambda p: p.name) == MANY
    assert set(split_validation(MANY[::-1], 20)[1]) == set(held)
    assert set(split_validation(MANY, 20, seed=1)[1]) != set(held)

def test_more_pictures_move_few_of_the_others():
    held = set(split_validation(MANY, 20)[1])
    assert len(set(split_validation(MANY[:90], 18)[1]) - held) <= 4

def test_how_many_are_held_out():
    assert len(split_validation(MANY, .25)[1]) == 25 and split_validation(MANY, 0) == (MANY, [])
    for n in (100, -1, 1.):
        with pytest.raises(ValueError, match='cannot hold out -?[0-9]+ of 100'): split_validation(MANY, n)

def test_grey_bytes(pairs, tmp_path):
    "The quick way through Pillow is within a level of ours."
    assert np.abs(grey_bytes(pairs[2].vi).astype(int) - to_bytes(luma(read_image(pairs[2].vi)))).max() <= 1
    Image.fromarray(np.array([[0,150,300]], np.float32)).save(tmp_path/'units.tif')
    assert grey_bytes(tmp_path/'units.tif').tolist() == [[0,128,255]]

def test_the_same_picture_in_another_file(pairs, tmp_path):
    x, want = read_image(pairs[1].vi), _content_hash(pairs[1].vi)
    for name,y in (('copy.tif', x), ('three.png', np.stack([x]*3, -1))): assert _content_hash(write_image(tmp_path/name, y)) == want
    assert _content_hash(pairs[1].ir) != want
    assert _content_hash(write_image(tmp_path/'turned.png', x.reshape(64,256))) != want   # the same bytes in another size

def test_shared_content(pairs, tmp_path):
    copy = write_image(tmp_path/'copy.tif', read_image(pairs[1].vi))
    assert ('b', 'renamed') in shared_content(pairs, [PairFiles('renamed', pairs[0].ir, copy)])
    assert shared_content(pairs[:1], pairs[1:]) == []
    assert shared_content(pairs, pairs) == [(p.name, p.name) for p in pairs]

real = pytest.mark.skipif(not os.environ.get('SMFNET_DATA'), reason='SMFNET_DATA is not set: the real data sets are not at hand')

def present(kind):
    return '+'.join(n for n in DATASETS if n.endswith(kind) and (data_root()/n).is_dir())

@real
def test_training_sets_share_no_picture_with_test_sets():
    train, test = find_pairs(present('train')), find_pairs(present('test'))
    assert len(train) > 100 and len(test) > 50
    assert shared_content(train, test) == []
    assert shared_content(train[:3], [PairFiles('same', train[1].vi, train[1].ir)]) == [(train[1].name, 'same')]   # it would be noticed

@real
def test_real_pairs_are_whole():
    for name in filter(None, present('test').split('+') + present('train').split('+')):
        pairs = check_pairs(find_pairs(name))
        for kind in ('labels', 'boxes'):
            if getattr(DATASETS[name], kind): assert set(find_labels(name, kind)) == {p.name for p in pairs}

@real
def test_validation_is_held_out_of_training():
    train, held = split_validation(find_pairs('RoadScene/train'), 20)
    assert len(held) == 20 and shared_content(train, held) == []
