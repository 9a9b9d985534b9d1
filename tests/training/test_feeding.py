"Batches by step, and where patches come from."
import pytest
import torch
from torch.utils.data import DataLoader
from smfnet.data.archive import compress_patches, load_patches, pack_patches
from smfnet.data.datasets import find_pairs
from smfnet.data.images import write_image
from smfnet.data.patches import scene_patches
from smfnet.data.scenes.render import scene_pairs
from smfnet.training.config import TrainConfig
from smfnet.training.feeding import Batches, batch_indices, training_data, turn
from smfnet.training.state import data_key

def test_an_epoch_is_a_permutation_and_a_step_is_itself():
    seen = torch.cat([batch_indices(s, 10, 3, 0) for s in range(3)]).tolist()
    assert len(set(seen)) == 9 and set(seen) <= set(range(10))
    assert batch_indices(4, 10, 3, 0).equal(batch_indices(4, 10, 3, 0))
    first, next_epoch, other_seed = (batch_indices(s, 10, 3, seed).tolist() for s,seed in ((0,0), (3,0), (0,1)))
    assert first != next_epoch != other_seed

def test_turns_move_both_modalities_by_one_of_eight_symmetries():
    x = torch.arange(2*2*3*3.).reshape(2,2,3,3)
    y = turn(x, 5, 0)
    assert y.flatten(2).sort().values.equal(x.flatten(2).sort().values) and (y[:,1]-y[:,0] == 9).all()
    many = turn(torch.arange(9.).reshape(3,3).expand(200,2,3,3), 0, 0)
    assert len({o.numpy().tobytes() for o in many[:,0]}) == 8

@pytest.mark.parametrize('augment', [False, True])
def test_shares_are_the_batch(augment):
    patches, c = scene_patches(1, size=32, stride=64), TrainConfig(batch=4, augment=augment)
    whole, halves = Batches(patches, c)[3], [Batches(patches, c, r, 2)[3] for r in range(2)]
    for k in range(2): assert torch.stack([h[k] for h in halves], 1).flatten(0,1).equal(whole[k])
    assert Batches([patches[i] for i in range(len(patches))], c)[3][1].equal(whole[1]) # any sequence of pairs
    loaded = list(DataLoader(Batches(patches, c), batch_size=None, sampler=range(2,5), num_workers=2))
    assert loaded[1][0].equal(whole[0]) and len(loaded) == 3

@pytest.fixture
def folder(tmp_path):
    for i,q in enumerate(scene_pairs(3, size=(64,80))):
        for m in ('ir','vi'): write_image(tmp_path/f'set/{m}/{i}.png', getattr(q, m)[0])
    return tmp_path

def test_embedded_scenes():
    p,held,text = training_data(None, 'unused', 64, 64, scenes=2)
    assert p[0][0].shape == (1,64,64) and len(held) == 3 and text.startswith('2 embedded scenes')
    assert not {h.name for h in held} & {'scene 0', 'scene 1'}

def test_a_folder_is_cut_in_memory_as_on_disk(folder):
    mapped,held,_ = training_data(f'{folder}/set', folder, 32, 16)
    inside,_,_ = training_data(f'{folder}/set', folder, 32, 16, cache=False)
    assert len(held) == 1 and mapped.data.tobytes() == inside.data.tobytes()

def test_packed_archives_are_joined(folder):
    mapped,held,_ = training_data(f'{folder}/set', folder, 32, 16)
    archive, short = (
        folder / 'patches-32-16.npy',
        compress_patches(pack_patches(find_pairs(f'{folder}/set')[:1], folder / 'one.npy', 32, 16)),
    )
    both,none,_ = training_data(f'{archive}+{short}', 'unused', 32)
    assert none == [] and both.data.tobytes() == mapped.data.tobytes() + load_patches(folder/'one.npy').data.tobytes()
    assert data_key(training_data(str(archive), 'unused', 32)[0]) == data_key(mapped) != data_key(both)
    with pytest.raises(ValueError, match='holds patches of 32×32 px; give patch=32'):
        training_data(str(archive), 'unused', 64)
    with pytest.raises(FileNotFoundError, match='none.npy'): training_data(f'{folder}/none.npy', 'unused', 32)

def test_a_damaged_held_out_image_is_found_first(folder):
    _,held,_ = training_data(f'{folder}/set', folder, 32, 16)
    f = folder/f'set/vi/{held[0].name}.png'
    f.write_bytes(f.read_bytes()[:900])
    with pytest.raises(ValueError, match=f'{held[0].name}.png is damaged'):
        training_data(f'{folder}/set', folder, 32, 16)


@pytest.mark.parametrize(
    'args, message',
    [
        (('RoadScene/trian', 'unused'), 'is unknown'),
        ((None, 'unused', 300), 'patch=300 does not fit into the embedded scenes'),
        ((None, 'unused', 8), 'patch=8 is too small'),
    ],
)
def test_data_that_cannot_be(args, message):
    with pytest.raises(ValueError, match=message): training_data(*args)
