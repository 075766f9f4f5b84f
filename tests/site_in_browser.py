# ruff: noqa: T201 -- a program that prints a list
"""Look at every page of the built site in Chromium, as readers do, and print what is wrong.

Each page is seen at the width of a phone and of a screen, and in light and dark. A page is wrong if
its scripts fail, a picture is missing, it is wider than the window, text has too little contrast,
or an error in a "Raises" section has no name. Run it with ``nox -s site`` after ``nox -s docs``.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver

WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")

# WCAG 2.2 asks for 4.5, and for 3 if the text is large.
CONTRAST = """
const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
const known = new Map();
function channels(color) {
  if (!known.has(color)) {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    known.set(color, [...canvas.getImageData(0, 0, 1, 1).data]);
  }
  return known.get(color);
}
function luminance(color) {
  const [r, g, b] = channels(color).slice(0, 3).map(value => {
    value /= 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
"""

PAGE_FAULTS = (
    CONTRAST
    + """
const faults = new Set();
for (const image of document.images)
  if (!image.naturalWidth) faults.add(`the picture ${image.getAttribute("src")} is missing`);

const root = document.documentElement;
if (root.scrollWidth > root.clientWidth)
  faults.add(`the page is ${root.scrollWidth} pixels wide`);
const scrolls = new Map([[null, false]]);
function isScrolled(element) {
  if (!scrolls.has(element))
    scrolls.set(element, /auto|scroll/.test(getComputedStyle(element).overflowX) ||
      isScrolled(element.parentElement));
  return scrolls.get(element);
}
const cut = [...document.querySelectorAll("article *")].find(element =>
  element.getBoundingClientRect().right > root.clientWidth + 1 &&
  !isScrolled(element.parentElement));
if (cut)
  faults.add(`${cut.localName} "${cut.textContent.trim().slice(0, 40)}" is cut off`);

const colors = new Map();
function background(element) {
  if (!element) return "white";
  if (!colors.has(element)) {
    const own = getComputedStyle(element).backgroundColor;
    colors.set(element, channels(own)[3] === 255 ? own : background(element.parentElement));
  }
  return colors.get(element);
}
const texts = document.createTreeWalker(
  document.querySelector("article") ?? document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  const least = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
  const found = contrast(style.color, background(element));
  if (found < least)
    faults.add(`the text "${texts.currentNode.data.trim().slice(0, 30)}" in ${style.color} ` +
      `has a contrast of ${found.toFixed(1)}`);
}

for (const title of document.querySelectorAll("dl.field-list > dt"))
  if (title.textContent.startsWith("Raises"))
    for (const entry of title.nextElementSibling.querySelectorAll("p"))
      if (!/^\\w+(, \\w+)* \\u2013 /.test(entry.textContent))
        faults.add(`the entry "${entry.textContent}" does not begin with errors`);
return [...faults];
"""
)

# matplotlib draws text as shapes, in groups with such ids.
PICTURE_FAULTS = (
    CONTRAST
    + """
const faults = [];
for (const text of document.querySelectorAll("text, g[id^=text_]")) {
  const box = text.getBoundingClientRect();
  const below = document
    .elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2)
    .find(other => /^(rect|path)$/.test(other.localName) && !text.contains(other) &&
      !other.closest("[id^=text_]") && channels(getComputedStyle(other).fill)[3] === 255);
  const color = getComputedStyle(text.querySelector("use") ?? text).fill;
  const found = contrast(color, below ? getComputedStyle(below).fill : "white");
  if (found < 4.5)
    faults.push(`the text "${text.textContent.trim()}" (${text.id}) in ${color} ` +
      `has a contrast of ${found.toFixed(1)}`);
}
return faults;
"""
)


def main(folder: str = "build/site") -> None:
    """Print the faults of a built site, and end with an exit code if there are any."""
    site = Path(folder).resolve()
    pages = sorted(site.rglob("*.html"))
    pictures = sorted((site / "_images").glob("*.svg"))
    if not pages or not pictures:
        sys.exit(f"{folder} is not a built site. Run nox -s docs")
    browser = open_browser()
    try:
        faults = [
            f"{path.relative_to(site)}: {fault}"
            for paths, look in ((pages, faults_of_page), (pictures, faults_of_picture))
            for path in paths
            for fault in look(browser, path)
        ]
    finally:
        browser.quit()
    print(*faults, f"{len(faults)} faults in {len(pages)} pages", sep="\n")
    sys.exit(bool(faults))


def open_browser() -> Any:
    """Start a Chromium without a window."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        sys.exit("there is no Chromium. On Debian, run apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Without a sandbox, because CI runs as root.
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    return webdriver.Chrome(options, webdriver.ChromeService(driver))


def faults_of_page(browser: Any, page: Path) -> Iterator[str]:
    """Yield what is wrong with a page in any width and scheme."""
    browser.get(page.as_uri())
    for width in WIDTHS:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for scheme in SCHEMES:
            feature = {"name": "prefers-color-scheme", "value": scheme}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            for fault in browser.execute_script(PAGE_FAULTS):
                yield f"{fault} ({width} pixels, {scheme})"
    for entry in browser.get_log("browser"):
        if entry["level"] in {"SEVERE", "WARNING"}:
            yield entry["message"]


def faults_of_picture(browser: Any, picture: Path) -> Iterator[str]:
    """Yield the text of a picture that can hardly be read, whatever the page's scheme."""
    browser.get(picture.as_uri())
    yield from browser.execute_script(PICTURE_FAULTS)


if __name__ == "__main__":
    main(*sys.argv[1:])
