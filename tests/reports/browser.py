"""A page in headless Chromium, in a frame of the width of a screen: what it looks like there, in numbers."""

import json
import re
import shutil
import subprocess
from html import unescape

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MEASURE = """
function rgb(text) { return text.match(/[0-9.]+/g).map(Number); }
function light(c) {
  const [r, g, b] = c.slice(0, 3).map(v => v / 255).map(v => {
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function behind(win, node) {
  for (; node; node = node.parentElement) {
    const c = rgb(win.getComputedStyle(node).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c;
  }
  return [255, 255, 255];
}
function contrast(win, node) {
  const pair = [light(rgb(win.getComputedStyle(node).color)), light(behind(win, node))].sort((a, b) => b - a);
  return (pair[0] + 0.05) / (pair[1] + 0.05);
}
frame.onload = () => {
  const win = frame.contentWindow, doc = frame.contentDocument, width = doc.documentElement.clientWidth;
  const all = [...doc.body.querySelectorAll("*")];
  const text = all.filter(n => [...n.childNodes].some(c => c.nodeType === 3 && c.data.trim()));
  const wide = all.filter(n => !n.parentElement.closest(".scroll") && n.getBoundingClientRect().right > width + 0.5);
  out.textContent = JSON.stringify({
    width: width,
    overflow: doc.documentElement.scrollWidth - width,
    wide: wide.map(n => n.outerHTML.slice(0, 80)),
    headings: [...doc.querySelectorAll("h1, h2, h3, h4")].map(n => Number(n.tagName[1])),
    images: [...doc.images].map(n => [n.naturalWidth, n.getBoundingClientRect().width, n.alt]),
    contrast: Math.min(...text.map(n => contrast(win, n))),
    small: Math.min(...text.map(n => parseFloat(win.getComputedStyle(n).fontSize))),
    scripts: doc.scripts.length,
    outside: all.filter(n => /^(https?:|\\/\\/)/.test(n.getAttribute("src") || n.getAttribute("href") || "")).length,
  });
};
frame.srcdoc = page;
"""


def browser():
    """Return the path of a Chromium; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def seen(page, width, folder):
    """Return what a page looks like on a screen of so many pixels, and what the browser wrote to its console."""
    source = json.dumps(page).replace("</", "<\\/")
    script = (
        f"const frame = document.getElementById('f'), out = document.getElementById('o'), page = {source};{MEASURE}"
    )
    frame = f'<iframe id="f" style="width:{width}px;height:900px;border:0"></iframe><pre id="o"></pre>'
    file = folder / f"in_{width}.html"
    file.write_text(f"<!DOCTYPE html><meta charset=utf-8><link rel=icon href=data:,>{frame}<script>{script}</script>")
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    words += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", "--dump-dom", f"file://{file}"]
    done = subprocess.run([browser(), *words], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="o">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    assert found[1], done.stderr
    return json.loads(unescape(found[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]
