"Each network that a file may hold can be run tile by tile, and no other (fusing.streams)."
import pytest
import torch
from torch import nn
from smfnet.fusing.memory import plan_memory
from smfnet.fusing.streams import STREAMS, stream, streaming
from smfnet.network.model import MODEL_PRESETS, SMFNet
from smfnet.network.weights import NETWORKS

def test_every_network_of_a_file_has_its_row():
    assert set(STREAMS) == {cls for cls,_ in NETWORKS.values()}
    assert all(how.map_bytes > 0 and how.tile_bytes > 0 for how in STREAMS.values())

def test_a_subclass_is_run_like_its_parent():
    class Mine(SMFNet): pass
    assert streaming(Mine(MODEL_PRESETS['smoke'])) is STREAMS[SMFNet]

def test_another_network_is_refused_by_name():
    with pytest.raises(TypeError, match='Conv2d cannot be run tile by tile; SMFNet, .* can'): stream(*torch.rand(2,1,1,20,20), nn.Conv2d(1, 1, 1))
    with pytest.raises(TypeError, match='Conv2d'): plan_memory((20,20), nn.Conv2d(1, 1, 1))
