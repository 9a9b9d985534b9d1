"Damaged files and wild arguments: an image comes out, or a ValueError or OSError that says why."
import contextlib, io, random
from pathlib import Path
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from smfnet.fusing.api import fuse
from smfnet.fusing.folders import fuse_folder
from smfnet.fusing.cli import main
from smfnet.fusing.memory import parse_memory
from smfnet.data.images import image_note, image_size, read_image, write_image
from smfnet.network.weights import load_model

OURS = (ValueError, OSError)
MODES = {'png': ('L','RGB','RGBA','P','I;16','1'), 'jpg': ('L','RGB','CMYK'), 'tif': ('L','RGB','I;16','F','CMYK'), 'bmp': ('L','RGB','P'),
         'webp': ('RGB','RGBA'), 'gif': ('P',), 'pgm': ('L','I;16')}
VALID = [(mode, suffix) for suffix,modes in MODES.items() for mode in modes]
PER_FILE = 12  # mutants of each valid file

def picture(mode, h=18, w=21):
    x = np.add.outer(np.arange(h)*9, np.arange(w)*5) % 256
    if mode == 'I;16': return Image.fromarray((x*257).astype(np.uint16))
    if mode == 'F': return Image.fromarray((x/255).astype(np.float32))
    return Image.fromarray(np.stack([x, 255-x, x//2], -1).astype(np.uint8)).convert(mode)

def mutate(data, r):
    "One of the ways in which files break."
    b, i = bytearray(data), r.randrange(len(data))
    how = r.choice(('bits','cut','zero','insert','swap','head','repeat'))
    if how == 'bits':
        for _ in range(r.choice((1,3,20))): b[r.randrange(len(b))] ^= 1 << r.randrange(8)
    if how == 'cut': b = b[:i]
    if how == 'zero': b[i:i+r.randrange(1,64)] = bytes(r.randrange(1,64))
    if how == 'insert': b[i:i] = r.randbytes(r.randrange(1,40))
    if how == 'swap': b[:i], b[i:] = b[len(b)-i:], b[:len(b)-i]
    if how == 'head': b[:min(40,len(b))] = r.randbytes(min(40,len(b)))
    if how == 'repeat': b += b[i:]
    return bytes(b)

@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
    "Valid files in every format, and at least 200 mutants of them."
    folder, r = tmp_path_factory.mktemp('corpus'), random.Random(20)
    for mode,suffix in VALID:
        f = folder/f"valid_{mode.replace(';','')}.{suffix}"
        picture(mode).save(f)
        for k in range(PER_FILE): (folder/f'{f.stem}_{k:02d}.{suffix}').write_bytes(mutate(f.read_bytes(), r))
    return folder

@pytest.mark.filterwarnings('ignore')
def test_a_damaged_file_is_an_image_or_our_error(corpus):
    mutants, refused = [f for f in sorted(corpus.iterdir()) if f.stem[-3] == '_' and f.stem[-2:].isdigit()], 0
    assert len(mutants) >= 200
    for f in mutants:
        with contextlib.suppress(*OURS): image_size(f)
        with contextlib.suppress(*OURS): image_note(f)
        try: x = read_image(f)
        except OURS as e:
            refused += 1
            assert f.name in str(e), f
        else: assert x.dtype == np.float32 and np.isfinite(x).all() and 0 <= x.min() and x.max() <= 1, f
    assert len(mutants)/4 < refused < len(mutants)

def test_every_valid_file_of_the_corpus_is_read(corpus):
    for mode,suffix in VALID: assert read_image(corpus/f"valid_{mode.replace(';','')}.{suffix}").shape[:2] == (18,21)

def command(*args):
    "Exit status and stderr; an exception that escapes fails the test."
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
        try: status = main([str(a) for a in args])
        except SystemExit as e: status = e.code
    return status, err.getvalue()

@pytest.mark.filterwarnings('ignore')
def test_the_command_survives_the_corpus(corpus, weights, tmp_path):
    "A folder with three mutants of every valid file as infrared: what is readable is fused, the rest is reported, line by line."
    for m in ('ir','vi'): (tmp_path/m).mkdir()
    names = [f for f in sorted(corpus.iterdir()) if f.stem[-2:] in ('00','05','11')]
    for f in names:
        (tmp_path/'ir'/f"{f.stem}{f.suffix[1:]}{f.suffix}").write_bytes(f.read_bytes())
        picture('L').save(tmp_path/'vi'/f"{f.stem}{f.suffix[1:]}.png")
    status,err = command(tmp_path/'ir', tmp_path/'vi', tmp_path/'out', '--weights', weights, '--device', 'cpu', '--resize', 'ir')
    fused = list((tmp_path/'out').iterdir())
    assert status == 1 and 'Traceback' not in err
    lines = [l for l in err.splitlines() if l]
    assert all(l.startswith('smfnet_fuse: ') for l in lines)
    failed = sum('hint:' not in l for l in lines) - 1   # the last line counts them
    assert len(fused) + failed == len(names) and fused
    assert all(image_size(f) == (18,21) for f in fused)

words = st.one_of(st.sampled_from(['--resize','ir','vi','--stretch','1,99','--max-memory','1G','--workers','--threads','0','-1','--device','cuda','cpu','--weights','--precision','bf16','', '/', '..', 'a.png']),
                  st.text(max_size=12).filter(lambda s: '\0' not in s))
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

@quick
@given(args=st.lists(words, min_size=0, max_size=6))
def test_wild_arguments_are_a_message(args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status,err = command(*args)
    assert status == 0 or (status in (1,2) and err.startswith(('smfnet_fuse: ','usage: ')) and 'Traceback' not in err)
    assert not list(tmp_path.iterdir())

@quick
@given(x=st.tuples(st.integers(0,20), st.integers(0,20)).flatmap(lambda s: arrays(st.sampled_from(['float32','>f8','uint8','>u2','int32','bool']), st.sampled_from([s, (*s,3), (*s,1), s[:1]]))))
def test_any_array_is_fused_or_refused(net, x):
    try: out = fuse(x, x, weights=net)
    except (*OURS, TypeError): return
    assert out.shape[:2] == x.shape[:2] and min(x.shape[:2]) >= 16 and np.isfinite(out).all()

@quick
@given(text=st.text(max_size=8))
def test_amounts_of_memory(text):
    try: assert parse_memory(text) > 0
    except ValueError as e: assert 'like 800M' in str(e)

def test_a_damaged_checkpoint_is_refused(weights, tmp_path):
    data, r = weights.read_bytes(), random.Random(3)
    for k in range(60):
        (tmp_path/'bad.safetensors').write_bytes(bad := mutate(data, r))
        if bad == data: continue
        try: load_model(tmp_path/'bad.safetensors', 'cpu')
        except OURS as e: assert 'bad.safetensors' in str(e)
        else: assert len(bad) >= len(data)*.99   # a bit of the recorded notes: the weights themselves are hashed

def test_a_pickle_is_never_opened(tmp_path):
    import pickle
    class Trap:
        def __reduce__(self): return Path.touch, (tmp_path/'sprung',)
    for name in ('w.safetensors', 'w.pt'): (tmp_path/name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError): load_model(tmp_path/'w.safetensors', 'cpu')
    with pytest.raises(ValueError): load_model(tmp_path/'w.pt', 'cpu')
    assert not (tmp_path/'sprung').exists()

@pytest.mark.parametrize('stem', ['a..', '-', 'a b', 'ü', 'x'*200, '%2e%2e%2fescape', 'a\\..\\b'])
def test_results_stay_in_their_folder(tmp_path, net, stem):
    for m in ('ir','vi'):
        (tmp_path/m).mkdir()
        picture('L').save(tmp_path/m/f'{stem}.png')
    jobs = fuse_folder(tmp_path/'ir', tmp_path/'vi', tmp_path/'out', weights=net, progress=False)
    assert [j.status for j in jobs] == ['fused'] and jobs[0].out.resolve().parent == (tmp_path/'out').resolve()
    assert {p.name for p in tmp_path.iterdir()} == {'ir','vi','out'}

def test_a_link_among_the_results_is_replaced_not_followed(tmp_path, net):
    for m in ('ir','vi'): write_image(tmp_path/m/'a.png', np.full((16,16), .5))
    (tmp_path/'precious.png').write_bytes(b'precious')
    (tmp_path/'out').mkdir(); (tmp_path/'out/a.png').symlink_to(tmp_path/'precious.png')
    assert fuse_folder(tmp_path/'ir', tmp_path/'vi', tmp_path/'out', weights=net, progress=False)[0].status == 'fused'
    assert (tmp_path/'precious.png').read_bytes() == b'precious' and not (tmp_path/'out/a.png').is_symlink()
