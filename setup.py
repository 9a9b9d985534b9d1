"Package metadata is read from settings.ini, the one place where it is written."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

here = Path(__file__).parent
ini = ConfigParser(delimiters=['='])
ini.read(here/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']
extras = {k[:-len('_requirements')]: v.split() for k, v in cfg.items() if k.endswith('_requirements')}
readme = here/'README.md'

setup(name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], license='Apache-2.0',
      author=cfg['author'], keywords=cfg['keywords'].split(), python_requires='>=' + cfg['min_python'],
      long_description=readme.read_text(encoding='utf-8') if readme.exists() else '',
      long_description_content_type='text/markdown',
      packages=find_packages(include=['smfnet', 'smfnet.*']), include_package_data=True,
      package_data={'smfnet': ['weights/*', 'tables/*']},
      install_requires=cfg['requirements'].split(), extras_require=extras,
      entry_points={'console_scripts': cfg['console_scripts'].split()})
