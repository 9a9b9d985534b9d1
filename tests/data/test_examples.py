"The pairs that come with the package: named, registered, attributed."
import pytest
from smfnet.data.examples import EXAMPLE_CREDIT, EXAMPLES, example_files, example_pair

@pytest.mark.parametrize('name', EXAMPLES)
def test_each_pair_is_there_and_small(name):
    p, f = example_pair(name), example_files(name)
    assert p.name == name and p.chroma is None and p.size[0] % 8 == p.size[1] % 8 == 0
    assert 0 <= p.ir.min() < p.ir.max() <= 1 and (p.ir - p.vi).abs().mean() > .05
    assert f.ir.stat().st_size + f.vi.stat().st_size < 120_000

def test_the_man_at_the_door_is_in_the_infrared_alone():
    p = example_pair('doorway')
    man, beside = (slice(104,148), slice(116,136)), (slice(104,148), slice(88,108))
    contrast = lambda x: (x[0][man].mean() - x[0][beside].mean()).item()
    assert contrast(p.ir) > .2 and abs(contrast(p.vi)) < .1

def test_the_author_and_the_licence_lie_beside_them():
    folder = example_files().ir.parent
    text = (folder/'ATTRIBUTION.txt').read_text(encoding='utf-8')
    for o in ('Toet', '10.6084/m9.figshare.1008029', 'CC BY 4.0', 'Changes made', *EXAMPLES): assert o in text
    assert 'Section 8' in (folder/'CC-BY-4.0.txt').read_text(encoding='utf-8')
    assert 'Toet' in EXAMPLE_CREDIT and 'CC BY 4.0' in EXAMPLE_CREDIT

def test_another_name_is_refused():
    with pytest.raises(ValueError, match="no example pair is called 'door'; there are doorway, camp, street"): example_pair('door')
