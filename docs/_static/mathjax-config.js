// Added to MathJax's settings before it starts: \color{c}{x}, since the file of its extension would have to be loaded beside tex-svg.js.
window.MathJax = {
  ...window.MathJax,
  tex: { packages: { '[+]': ['smfcolor'] }, autoload: { color: [], colorv2: [] } },
  startup: {
    ready() {
      const { Configuration } = MathJax._.input.tex.Configuration, { CommandMap } = MathJax._.input.tex.SymbolMap;
      new CommandMap('smfcolor', { color: 'Color' }, {
        Color(parser, name) {
          const mathcolor = parser.GetArgument(name);
          parser.Push(parser.create('node', 'mstyle', [parser.ParseArg(name)], { mathcolor }));
        },
      });
      Configuration.create('smfcolor', { handler: { macro: ['smfcolor'] } });
      MathJax.startup.defaultReady();
    },
  },
};
