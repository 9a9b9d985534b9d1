"""SMFNet: fuse an infrared and a visible image, score fused images, train the network of the paper.

    import smfnet
    fused = smfnet.fuse('ir.png', 'vi.png')          # an array in [0, 1]: (h w 3) where the visible image has colour
    smfnet.fuse_folder('ir/', 'vi/', 'out/')         # what the command smfnet_fuse does
    smfnet.score(fused, 'ir.png', 'vi.png')          # metric -> value
    net = smfnet.load_model('ivf')                   # smfnet.list_weights() names the shipped ones

Three names are tables: METRICS, the nine metrics of the paper; MODEL_PRESETS and LOSS_PRESETS, configurations by name.
A name is imported when it is first used, so that `import smfnet` itself is quick and needs no torch.
"""
__version__ = "0.1.0"

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING: # the same names as in _HOME, in the form that editors and type checkers read; a test compares them
    from .data.datasets import find_pairs as find_pairs
    from .data.images import read_image as read_image, write_image as write_image
    from .data.register import register as register
    from .data.pairs import Pair as Pair, PairFiles as PairFiles, match_pairs as match_pairs, read_pair as read_pair
    from .data.scenes.render import render_scene as render_scene, scene_pairs as scene_pairs
    from .network.base import BFE as BFE
    from .network.blocks import MDTA as MDTA, LeFF as LeFF, TransformerBlock as TransformerBlock
    from .network.detail import CAI as CAI, CrossMDTA as CrossMDTA, InvertibleBlock as InvertibleBlock
    from .network.graph import GR as GR
    from .network.model import MODEL_PRESETS as MODEL_PRESETS, Decoder as Decoder, Encoder as Encoder
    from .network.model import ModelConfig as ModelConfig, SMFNet as SMFNet
    from .network.weights import convert as convert, list_weights as list_weights, load_model as load_model
    from .network.weights import save_checkpoint as save_checkpoint
    from .losses.ours import LOSS_PRESETS as LOSS_PRESETS
    from .losses.stage_one import LossWeights as LossWeights, StageOneLoss as StageOneLoss
    from .losses.stage_two import StageTwoLoss as StageTwoLoss
    from .metrics.paper import METRICS as METRICS
    from .fusing.api import fuse as fuse, fuse_batch as fuse_batch
    from .fusing.folders import fuse_folder as fuse_folder
    from .training.config import TrainConfig as TrainConfig
    from .training.launch import make_trainer as make_trainer
    from .training.trainer import Trainer as Trainer
    from .scoring.score import evaluate as evaluate, score as score

_HOME = {name: room for room, names in {
    'data.datasets':    'find_pairs',
    'data.register':    'register',
    'data.images':      'read_image write_image',
    'data.pairs':       'Pair PairFiles match_pairs read_pair',
    'data.scenes.render': 'render_scene scene_pairs',
    'network.base':     'BFE',
    'network.blocks':   'MDTA LeFF TransformerBlock',
    'network.detail':   'CAI CrossMDTA InvertibleBlock',
    'network.graph':    'GR',
    'network.model':    'MODEL_PRESETS Decoder Encoder ModelConfig SMFNet',
    'network.weights':  'convert list_weights load_model save_checkpoint',
    'losses.ours':      'LOSS_PRESETS',
    'losses.stage_one': 'LossWeights StageOneLoss',
    'losses.stage_two': 'StageTwoLoss',
    'metrics.paper':    'METRICS',
    'fusing.api':       'fuse fuse_batch',
    'fusing.folders':   'fuse_folder',
    'training.config':  'TrainConfig',
    'training.launch':  'make_trainer',
    'training.trainer': 'Trainer',
    'scoring.score':    'evaluate score',
}.items() for name in names.split()}

__all__ = list(_HOME)

def __getattr__(name):
    if name not in _HOME: raise AttributeError(f"module 'smfnet' has no attribute {name!r}")
    value = getattr(_import_module(f'smfnet.{_HOME[name]}'), name)
    globals()[name] = value # found at once the next time
    return value

def __dir__(): return [*__all__, '__version__']
