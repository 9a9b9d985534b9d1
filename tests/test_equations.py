"The thread from the paper to the code: every equation has a symbol, a display and an anchor, and the ledger answers every number that is cited."
import json, re
from pathlib import Path
import pytest
from smfnet.companion.ledger import LEDGER, ledger_table
from smfnet.companion.equations import displayed, eq_gaps, eq_index, eq_table

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT/'nbs').glob('[0-9]*.ipynb'))
MODULES = sorted((ROOT/'smfnet').glob('*.py'))

@pytest.fixture(scope='module')
def index(): return eq_index(ROOT/'smfnet')

@pytest.fixture(scope='module')
def tags(): return {p.name: displayed(p)[0] for p in NOTEBOOKS}

@pytest.mark.parametrize('n', range(1, 31))
def test_equation_is_computed_and_displayed(n, index, tags):
    marks = index.get(n, [])
    assert marks, f'no docstring of the package cites Eq. {n}'
    homes = [name for name,shown in tags.items() if n in shown]
    assert len(homes) == 1, f'Eq. {n} is displayed with tag and anchor in {homes}'
    assert homes[0] in {m.notebook for m in marks}, f'{homes[0]} displays Eq. {n}, but exports nothing that computes it'

def test_no_gap():
    assert eq_gaps(ROOT/'smfnet', ROOT/'nbs') == []

def prose(notebook):
    cells = json.loads(notebook.read_text(encoding='utf-8'))['cells']
    return '\n'.join(''.join(c['source']) for c in cells if c['cell_type'] == 'markdown')

def test_links_to_equations_arrive(tags):
    links = [(p.name, book or p.name, int(n)) for p in NOTEBOOKS for book,n in re.findall(r'\(([^()\s#]*)#eq-(\d+)\)', prose(p))]
    assert links
    assert [l for l in links if l[2] not in tags.get(l[1], set())] == []

def test_table_has_a_row_and_a_link_for_each_equation():
    rows = eq_table(ROOT/'smfnet', nbs=ROOT/'nbs').splitlines()[2:]
    assert [int(r.split('|')[1]) for r in rows] == list(range(1, 31))
    assert [re.findall(r'#eq-(\d+)\)', r) for r in rows] == [[str(n)] for n in range(1, 31)]

def test_readme_shows_the_index():
    assert eq_table(prefix='nbs/').strip() in (ROOT/'README.md').read_text(encoding='utf-8')

def test_cited_ledger_numbers_exist():
    known = {e.tag for e in LEDGER}
    cited = {(p.name, t) for p in (*NOTEBOOKS, *MODULES) for t in re.findall(r'\bD-\d\d\b', p.read_text(encoding='utf-8'))}
    assert sorted((n,t) for n,t in cited if t not in known) == []
    assert ledger_table(LEDGER).count('<a id="d-') == len(LEDGER)
