"""How /docs looks: one style sheet, light and dark, for desks and phones. No font, picture or script is fetched."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #fff; --panel: #f5f6f8; --ink: #1b2130; --soft: #586174; --line: #dfe3ea; --link: #1f4fd1;
  --get: #1f5fbf; --post: #19734a; --delete: #b3261e; --mark: #a8451c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12151c; --panel: #1b202a; --ink: #e4e8f0; --soft: #9aa5b8; --line: #2e3644; --link: #8fb0ff;
    --get: #3f7fdf; --post: #2a9563; --delete: #d6534b; --mark: #f0a070;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
header, main { padding: 1.5rem 1.25rem .5rem; min-width: 0; max-width: 62rem; }
main { padding-bottom: 4rem; }
nav { padding: 1.25rem; background: var(--panel); font-size: .875rem; }
nav ul { list-style: none; margin: .25rem 0 1rem; padding: 0; }
nav li { padding: .15rem 0; overflow-wrap: anywhere; }
nav li a { display: flex; gap: .5rem; align-items: baseline; color: var(--ink); }
nav .inline { display: flex; flex-wrap: wrap; gap: 0 1rem; }
nav strong a, h1, h2, h3, h4 { color: var(--ink); }
h1 { font-size: 1.75rem; margin: 0 0 .5rem; }
h1 small { font-size: .875rem; font-weight: 400; color: var(--soft); }
h2 { font-size: 1.375rem; margin: 3rem 0 .5rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
main > :first-child h2 { border: 0; margin-top: 0; }
h3 { font-size: 1.0625rem; margin: 2.25rem 0 .25rem; overflow-wrap: anywhere; }
h3 a { color: inherit; }
h4 { font-size: .8125rem; margin: 1.25rem 0 .4rem; color: var(--soft); font-weight: 600; }
p { margin: .25rem 0 .75rem; }
code, pre { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { background: var(--panel); border-radius: 3px; padding: .05em .3em; white-space: nowrap; }
pre code { background: none; padding: 0; font-size: 1em; white-space: pre; }
h3 code { background: none; padding: 0; font-size: 1em; white-space: normal; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .75rem 1rem; overflow-x: auto;
  margin: 0 0 .75rem; font-size: .8125rem; }
b.get, b.post, b.delete { color: #fff; border-radius: 3px; padding: .1rem .4rem; font-size: .6875rem; letter-spacing: .03em; }
b.get { background: var(--get); } b.post { background: var(--post); } b.delete { background: var(--delete); }
nav b { min-width: 3.6rem; text-align: center; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; margin: 0 0 .75rem; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .8125rem; }
th, td { padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:first-child { white-space: nowrap; }
td ul { margin: 0; padding: 0; list-style: none; }
em { color: var(--mark); font-style: normal; font-size: .75rem; margin-left: .35rem; }
summary { cursor: pointer; color: var(--link); font-size: .875rem; margin: .5rem 0; }
@media (min-width: 64rem) {
  body { display: grid; grid-template: auto 1fr / 19rem minmax(0, 1fr); }
  nav { grid-area: 1 / 1 / 3; position: sticky; top: 0; height: 100vh; overflow-y: auto; border-right: 1px solid var(--line); }
  nav .inline { display: block; }
  header, main { padding-left: 3rem; padding-right: 3rem; }
}
@media (max-width: 40rem) {
  code { white-space: normal; overflow-wrap: anywhere; }
  thead { display: none; }
  table, tbody, tr, td { display: block; }
  tr { border-bottom: 1px solid var(--line); padding: .5rem 0; }
  td { border: 0; padding: .1rem 0; }
  td:first-child { white-space: normal; }
  td:empty { display: none; }
  td[data-name]::before { content: attr(data-name) " "; color: var(--soft); }
}
"""
