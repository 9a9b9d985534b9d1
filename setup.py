"Package metadata is read from settings.ini, the one place where it is written."
import re
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

here = Path(__file__).parent
ini = ConfigParser(delimiters=['='])
ini.read(here/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']
url, extra = cfg['git_url'].strip(), '_requirements'

def long_description():
    "The README for a package index, where nothing lies beside it: links lead to `git_url`; without one their words stay."
    text = (here/'README.md').read_text(encoding='utf-8')
    if url:
        text = re.sub(r'(?<!!)(\[[^\]]*\]\()(?!\w+:|#)', rf"\1{url}/blob/{cfg['branch']}/", text)
        return re.sub(r'(!\[[^\]]*\]\(|src=")(?!\w+:)', rf"\1{url}/raw/{cfg['branch']}/", text)
    text = re.sub(r'<p[^>]*>\s*<img[^>]*>\s*</p>\s*(\*[^*]+\*\s*)?|!\[[^\]]*\]\((?!\w+:)[^)]*\)', '', text)
    return re.sub(r'\[([^\]]*)\]\((?!\w+:|#)[^)]*\)', r'\1', text)

setup(name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], license='Apache-2.0',
      author=cfg['author'], keywords=cfg['keywords'].split(), python_requires='>=' + cfg['min_python'],
      long_description=long_description(), long_description_content_type='text/markdown',
      project_urls={'Source': url} if url else {}, classifiers=cfg['classifiers'].split('\n'),
      packages=find_packages(include=['smfnet', 'smfnet.*']),
      package_data={'smfnet': ['py.typed', 'weights/*', 'tables/*', 'examples/*']},
      install_requires=cfg['requirements'].split(),
      extras_require={k[:-len(extra)]: v.split() for k, v in cfg.items() if k.endswith(extra)},
      entry_points={'console_scripts': cfg['console_scripts'].split()})
