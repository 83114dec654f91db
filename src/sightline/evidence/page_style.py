"""How the pages about runs look, by day and by night."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1a202c; --soft: #64748b; --line: #e2e8f0; --card: #fff;
  --page: #f5f6f8; --critical: #c53030; --warning: #b7791f; --info: #2b6cb0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaf0; --soft: #94a3b8; --line: #2d3748;
  --card: #1b212c; --page: #12161d; --critical: #fc8181; --warning: #f6c560; --info: #7db4ee; } }
* { box-sizing: border-box } body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif } main { max-width: 980px; margin: 0 auto;
  padding: 32px 20px }
h1 { font-size: 26px; margin: 0 } h2 { font-size: 17px; margin: 32px 0 12px }
.soft { color: var(--soft) } .cards { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 20px }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 16px; flex: 1 1 150px } .card b { display: block; font-size: 20px }
.equation { background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; font-family: ui-monospace,
  monospace; font-size: 13px; overflow-x: auto } table { border-collapse: collapse; width: 100%;
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; font-size: 13px }
th, td { text-align: left; padding: 6px 10px; border-bottom: 1px solid var(--line);
  vertical-align: top } td.n { text-align: right; font-variant-numeric: tabular-nums }
.critical { color: var(--critical) } .warning { color: var(--warning) } .info { color: var(--info) }
svg { max-width: 100%; height: auto; display: block; margin-bottom: 14px } code { font-size: 12px;
  overflow-wrap: anywhere } .scroll { overflow-x: auto }
"""
