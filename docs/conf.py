"Sphinx settings of the documentation. `build.py` beside this file gathers the pages and calls Sphinx."
import sys
from configparser import ConfigParser
from pathlib import Path

here = Path(__file__).resolve().parent
ini = ConfigParser(delimiters=['=']); ini.read(here.parent/'settings.ini', encoding='utf-8'); ini = ini['DEFAULT']
sys.path.insert(0, str(here))
from build import address # noqa: E402

project, author, release = ini['lib_name'], ini['author'], ini['version']
project_copyright = ini['copyright']
extensions = ['myst_nb']
exclude_patterns = ['_static']
templates_path = [str(here/'_templates')]

nb_execution_mode = 'off'      # the outputs that the repository holds are shown
nb_ipywidgets_js = {}          # widgets need a kernel; their scripts would come from the network
myst_enable_extensions = ['dollarmath', 'amsmath']
myst_heading_anchors = 3
suppress_warnings = ['myst.xref_missing'] # anchors of equations are HTML that MyST does not see; tests/test_docs.py follows every link instead
math_number_all = False

html_theme = 'sphinx_book_theme'
html_title = 'smfnet: a paper you can run'
html_static_path = [str(here/'_static')]
html_css_files = ['smfnet.css']
html_js_files = [('mathjax-config.js', dict(priority=900)), 'smfnet.js'] # after MathJax's settings in the page
html_favicon = str(here/'_static/favicon.svg')
myst_html_meta = {'description lang=en': 'Fuse infrared and visible images: a paper as notebooks, each equation beside the code that computes it, with a trained network.'}
html_copy_source = html_show_sourcelink = False
html_theme_options = dict(icon_links=[dict(name='Repository', url=o, icon='_static/repository.svg', type='local') for o in [address()] if o], pygments_light_style='a11y-light', pygments_dark_style='a11y-dark', use_download_button=False, use_fullscreen_button=False, show_toc_level=2, home_page_in_toc=True, navbar_persistent=[])
mathjax_path = 'tex-svg.js'
mathjax3_config = dict(svg=dict(fontCache='local'), options=dict(enableMenu=False))
