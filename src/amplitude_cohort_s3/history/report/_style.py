"""The style of the report, for light and dark screens and for paper."""

# The colours of lines and bars are those of Okabe and Ito, which colour-blind people can
# distinguish; on a dark background their lighter variants. Texts have a contrast of at least
# 4.5, and shapes of 3.
STYLE = """\
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--text:#1b2430;--soft:#55606e;
--edge:#dde2e8;--grid:#e8ebef;--size:#0072b2;--in:#008a64;--out:#c44f00;--bad:#a12a12;
--good:#00694c;--hover:#0072b21f}
@media (prefers-color-scheme:dark){:root{--page:#12161c;--card:#1a2029;--text:#e6eaf0;
--soft:#a3adba;--edge:#303945;--grid:#29313c;--size:#56b4e9;--in:#2fc193;--out:#f08a4b;
--bad:#ff9d85;--good:#57d3a8;--hover:#56b4e92e}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
article{max-width:68rem;margin:0 auto;padding:2rem 1.25rem 3rem}
h1{margin:0;font-size:1.75rem;line-height:1.25;letter-spacing:-.01em}
h2{margin:0 0 .75rem;font-size:1.1rem}
p{margin:0 0 .75rem;max-width:46rem}p:last-child{margin:0}
h1,p,td,th,dd,code{overflow-wrap:anywhere;unicode-bidi:isolate}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
header{margin-bottom:1.5rem}header p{margin:.35rem 0 0;color:var(--soft)}
section{margin-bottom:1rem;padding:1.1rem 1.25rem 1.25rem;background:var(--card);
border:1px solid var(--edge);border-radius:.6rem}
footer,.soft,figcaption{color:var(--soft);font-size:.87rem}
footer{padding:.5rem 1.25rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.75rem;
margin:0 0 1rem}
.tiles div{padding:.8rem 1rem;background:var(--card);border:1px solid var(--edge);
border-radius:.6rem}
.tiles dt{color:var(--soft);font-size:.87rem}
.tiles dd{margin:0;font-size:1.5rem;font-weight:600;line-height:1.3;
font-variant-numeric:tabular-nums}
.tiles dd+dd{color:var(--soft);font-size:.87rem;font-weight:400}
figure{margin:0}figcaption{margin-top:.5rem}
.chart{display:block;overflow:visible;width:calc(100% - 3.4rem);margin:.75rem 0 0 3.4rem;
color:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}
.chart>svg{width:100%;overflow:visible}
.chart text{fill:currentColor;text-anchor:middle}
.chart .count,.chart .end{text-anchor:end}
.grid{stroke:var(--grid)}.tick{stroke:var(--soft)}.zero{stroke:var(--soft)}
.line{fill:none;stroke:var(--size);stroke-width:2;vector-effect:non-scaling-stroke;
stroke-linejoin:round}
.area{fill:var(--size);opacity:.13}
circle{fill:var(--size)}
.in{fill:var(--in)}.out{fill:var(--out)}
.hover{fill:transparent}.hover:hover{fill:var(--hover)}
.key{display:inline-block;width:.7em;height:.7em;margin-right:.35em;border-radius:2px}
.key.in{background:var(--in)}.key.out{background:var(--out)}.key+.key{margin-left:1em}
.wide{overflow-x:auto}
.wide:focus-visible{outline:2px solid var(--size);outline-offset:-2px}
table{border-collapse:collapse;width:100%;font-size:.87rem;font-variant-numeric:tabular-nums}
caption{padding-bottom:.5rem;color:var(--soft);text-align:left}
th,td{padding:.4rem .6rem;border-bottom:1px solid var(--edge);text-align:left;
vertical-align:top}
tr>:first-child{padding-left:0}tr>:last-child{padding-right:0}
tbody tr:last-child>*{border-bottom:0}
thead th{background:var(--card);color:var(--soft);font-weight:600;white-space:nowrap}
tbody th{font-weight:500}
time{white-space:nowrap}
.n{text-align:right;white-space:nowrap}
.runs th:first-child,.findings th:first-child{position:sticky;left:0;background:var(--card)}
.text{min-width:9rem}.fill .text{min-width:4.5rem}
caption span{display:block;max-width:calc(100vw - 5rem)}
.runs td:nth-child(2),.runs code{white-space:nowrap}
.fill td:nth-child(3){width:50%;min-width:4rem}
.trend{display:block;width:100%;height:24px}
.bad{color:var(--bad)}.good{color:var(--good)}
@media (max-width:34rem){article{padding:1.25rem .75rem 2rem}h1{font-size:1.4rem}
section{padding:1rem}.fill th,.fill td{padding-left:.5rem;padding-right:0}
.fill tr>:first-child{padding-left:0}
.tiles{grid-template-columns:1fr 1fr;gap:.6rem}.tiles div{padding:.65rem .8rem}
.tiles dd{font-size:1.25rem}}
@media print{body{background:none;font-size:12px}article{padding:0}.wide{overflow:visible}
section,.tiles div{break-inside:avoid}section:has(.runs){break-inside:auto}}
"""
