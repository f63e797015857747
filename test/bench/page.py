"""build/bench/index.html: what results.json says, drawn; one file, no script, nothing from the network."""
import html

from bench import cases, goals, proxies, results, setup, text

PAGE = setup.OUT / "index.html"

STYLE = """
:root { --ink: #1d2430; --soft: #667085; --line: #e4e7ec; --paper: #fff; --fsm: #2563eb; --peer: #a9b4c4;
        --good: #067647; --fair: #93700a; --bad: #b42318; --wash: #f5f7fa; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 64rem; color: var(--ink); background: var(--paper);
       font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.6rem 0 .6rem; }
h3 { font-size: 1rem; margin: 2rem 0 .1rem; } p { margin: .2rem 0 .6rem; max-width: 48rem; }
.soft, .soft td { color: var(--soft); } small { color: var(--soft); }
table { border-collapse: collapse; width: 100%; } th, td { padding: .32rem .6rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } td.word, th.word { text-align: left; }
th { font-weight: 600; font-size: .85rem; color: var(--soft); border-bottom: 2px solid var(--line); }
td { border-bottom: 1px solid var(--line); } tr:last-child td { border-bottom: 0; }
.wide { overflow-x: auto; }
.good { color: var(--good); font-weight: 600; } .fair { color: var(--fair); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; } .best { font-weight: 600; }
.bars { display: grid; grid-template-columns: 7.5rem 1fr 13rem; gap: .3rem .8rem; align-items: center; margin: .5rem 0; }
.bar { position: relative; height: 1.15rem; background: var(--wash); border-radius: 3px; }
.bar i { position: absolute; left: 0; top: 0; bottom: 0; border-radius: 3px; background: var(--peer); }
.bar.ours i { background: var(--fsm); }
.bar b { position: absolute; top: 50%; height: 2px; margin-top: -1px; background: var(--ink); min-width: 2px; }
.bar b::before, .bar b::after { content: ""; position: absolute; top: -3px; height: 8px; width: 2px;
                                background: var(--ink); }
.bar b::before { left: 0; } .bar b::after { right: 0; }
details { margin: .2rem 0 0; } summary { color: var(--soft); cursor: pointer; }
"""
CLASSES = {"aim met": "good", "met": "good", "missed": "bad"}


def e(x):
    return html.escape(str(x))


def table(heads, lines, words=1):
    """lines of (class, cells); cells are HTML; the first `words` columns are text"""
    def place(i):
        return ' class="word"' if i < words else ""
    out = "".join(f"<th{place(i)}>{e(h)}</th>" for i, h in enumerate(heads))
    out = f"<tr>{out}</tr>"
    for kind, cells in lines:
        out += f'<tr class="{kind}">' + "".join(f"<td{place(i)}>{c}</td>" for i, c in enumerate(cells)) + "</tr>"
    return f'<div class="wide"><table>{out}</table></div>'


def with_unit(value, unit):
    return f"{text.number(value)} {e(unit)}".strip()


def goal_part(rows):
    lines = []
    for v in goals.verdicts(rows):
        g = v.goal
        state = "aim met" if v.aim_met else "met" if v.met else "missed"
        unit = results.UNITS.get(g.metric, "")
        against = f"{v.ratio:.2f} &times; {e(v.peer)}" if g.against else ""
        aim = f"{g.aim:g}" + (f" &times; {g.aim_against}" if g.aim_against else "")
        goal = e(g.words()).replace(" x ", " &times; ")
        lines.append(("", [e(g.case), e(g.proxy), e(g.metric), f'<span class="{CLASSES[state]}">{state}</span>',
                           with_unit(v.value, unit), against, goal, aim]))
    if not lines:
        return ""
    return "<h2>Goals</h2>" + table(["case", "proxy", "metric", "", "figure", "ratio", "goal", "aim"], lines, 4)


def ratio_part(rows, runs):
    """every case's main metric as a multiple of the best peer's"""
    names = list(proxies.ALL)
    lines = []
    for case in cases.ALL:
        main = runs.get(case, {}).get("main", "")
        best, _ = goals.best_peer(rows, case, main)
        if not best:
            continue
        cells = [f"{e(case)} <small>{e(main)}</small>"]
        for n in names:
            value = goals.figure(rows, case, n, main)
            if value is None:
                cells.append("")
                continue
            ratio = value / best
            kind = "best" if value == best else ""
            if n in proxies.OURS:
                kind = "good" if ratio <= 1 else "fair" if ratio <= 1.1 else "bad"
            cells.append(f'<span class="{kind}">{ratio:.2f}</span>')
        lines.append(("", cells))
    if not lines:
        return ""
    note = '<p class="soft">Multiples of the best peer\'s median; less is better.</p>'
    return "<h2>Against the best peer</h2>" + note + table(["case", *names], lines)


def bar(row, scale):
    def at(x):
        return max(0.0, min(100.0, 100 * x / scale))
    low, high = at(row["min"]), at(row["max"])
    ours = " ours" if row["proxy"].split(":")[0] in proxies.OURS else ""
    return (f'<div>{e(row["proxy"])}</div><div class="bar{ours}"><i style="width:{at(row["median"]):.2f}%"></i>'
            f'<b style="left:{low:.2f}%;width:{high - low:.2f}%"></b></div>'
            f'<div>{with_unit(row["median"], row["unit"])} <small>{text.number(row["min"])}&ndash;'
            f'{text.number(row["max"])}</small></div>')


def bars(rows, metric):
    chosen = [r for r in rows if r["metric"] == metric]
    scale = max((r["max"] for r in chosen), default=0) or 1
    return '<div class="bars">' + "".join(bar(r, scale) for r in chosen) + "</div>"


def all_figures(rows):
    metrics = text.metrics_of(rows)
    lines = []
    for who in dict.fromkeys(r["proxy"] for r in rows):
        mine = {r["metric"]: r for r in rows if r["proxy"] == who}
        any_row = next(iter(mine.values()))
        cells = [e(who)] + [with_unit(mine[m]["median"], mine[m]["unit"]) if m in mine else "" for m in metrics]
        lines.append(("", cells + [str(any_row["rounds"]), str(any_row["dropped"]), f"{any_row['noise']:.2f}"]))
    heads = ["proxy", *metrics, "rounds", "dropped", "others' cores"]
    return "<details><summary>all figures</summary>" + table(heads, lines) + "</details>"


def case_part(case, rows, run):
    main = run.get("main", "")
    left_out = "; ".join(f"{who}: {why}" for who, why in run.get("left_out", {}).items())
    left_out = f"<p><small>left out: {e(left_out)}</small></p>" if left_out else ""
    about = f"{run.get('when', '')}, commit {run.get('commit', '')}"
    return (f"<h3>{e(case)}</h3><p>{e(run.get('title', ''))} <small>({e(main)}; {e(about)})</small></p>"
            + bars(rows, main) + all_figures(rows) + left_out)


def write():
    rows, runs = results.load(results.RESULTS, []), results.load(results.RUNS, {})
    some = next(iter(runs.values()), {})
    machine = f"{some.get('cores', '?')} cores, {some.get('cpu', '?')}, Linux {some.get('kernel', '?')}"
    parts = [goal_part(rows), ratio_part(rows, runs), "<h2>Cases</h2>",
             '<p class="soft">Bar: the median of the rounds; line: the least and the greatest.</p>']
    for case in cases.ALL:
        mine = [r for r in rows if r["case"] == case]
        if mine:
            parts.append(case_part(case, mine, runs.get(case, {})))
    setup.OUT.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>fsm beside other proxies</title><style>{STYLE}</style>
<h1>fsm beside other proxies</h1>
<p class="soft">{e(machine)}. One worker each, alone on a core; CPU is the run time of all its threads.
Figures of one machine: compare within a case only.</p>
{''.join(parts)}
</html>
""")
