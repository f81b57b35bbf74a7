// Opens a page as a person would, and says what can be seen.
//
// Reads {page, browser, views: [{name, width, height, dark, shot}]} from stdin; `browser` is an
// executable, or null for the one that comes with the packages. Prints for each view what the page
// asked of any network, ran, said and shows, and in `blank` the fonts in which it shows nothing: if
// there is one, that is all. `shot` is a file for a picture of the page, or null; `is_long` leaves
// out the points of timelines. `screens` are those before the details of findings, and `chosen` has
// the findings that each filter leaves. `violations` are those of axe-core, with all details open.
// `unprinted` counts the parts of closed details that would not be printed.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const { page: path, browser: installed, views } = JSON.parse(readFileSync(0, "utf8"));
const plain = ["--no-sandbox", "--disable-gpu"];
let options = { executablePath: installed, args: plain, headless: true };
if (!installed) {
  const { default: chromium } = await import("@sparticuz/chromium");
  // Its own flags would let a page do what a reader's browser does not.
  const args = chromium.args.filter((flag) => !/web-security|insecure-content/.test(flag));
  options = { executablePath: await chromium.executablePath(), args, headless: "shell" };
}
const browser = await puppeteer.launch(options);

// Runs in the page: returns the fonts that it asks for and in which no letter is drawn. Two letters
// that differ are drawn as the same picture where there is no font, or one without letters.
function withoutLetters() {
  const canvas = new OffscreenCanvas(80, 80).getContext("2d", { willReadFrequently: true });
  const drawn = (font, letter) => {
    canvas.clearRect(0, 0, 80, 80);
    canvas.font = `48px ${font}`;
    canvas.fillText(letter, 10, 60);
    return canvas.getImageData(0, 0, 80, 80).data.join();
  };
  const shown = [...document.querySelectorAll("body, body *")];
  const fonts = shown.map((one) => getComputedStyle(one).fontFamily);
  return [...new Set(fonts)].filter((font) => {
    const pictures = [" ", "g", "W"].map((letter) => drawn(font, letter));
    return new Set(pictures).size < pictures.length;
  });
}

async function look({ name, width, height, dark, shot, is_long: isLong }) {
  const page = await browser.newPage();
  const requests = [];
  const said = [];
  page.on("request", (request) => requests.push(request.url()));
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("dialog", (dialog) => {
    said.push(dialog.message());
    dialog.dismiss();
  });
  await page.setViewport({ width, height, isMobile: width < 600, hasTouch: width < 600 });
  const scheme = [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }];
  await page.emulateMediaFeatures(scheme);
  const url = pathToFileURL(path).href;
  await page.goto(url, { waitUntil: "load" });
  const blank = await page.evaluate(withoutLetters);
  if (blank.length) return { name, blank }; // whatever else there is to see would mean nothing
  if (shot) await page.screenshot({ path: shot });
  const points = [];
  for (const circle of isLong ? [] : await page.$$(".timeline i")) {
    await circle.scrollIntoView();
    const { x, y, width: w, height: h } = await circle.boundingBox();
    points.push(
      await page.evaluate(
        (left, top) => {
          const hit = document.elementFromPoint(left, top);
          return { hit: hit?.localName, title: hit?.title, fill: getComputedStyle(hit).backgroundColor };
        },
        x + w / 2,
        y + h / 2,
      ),
    );
  }
  const screens = await page.evaluate(() => {
    const details = document.querySelector("#details");
    return details ? (details.getBoundingClientRect().top + scrollY) / innerHeight : 0;
  });
  const chosen = {};
  for (const id of await page.$$eval("input[id]", (all) => all.map((one) => one.id))) {
    chosen[id] = await page.evaluate((one) => {
      document.getElementById(one).click();
      const seen = (all) => [...all].filter((each) => each.checkVisibility());
      const articles = seen(document.querySelectorAll("article"));
      const identities = seen(document.querySelectorAll(".identity"));
      return {
        findings: articles.map((each) => each.id),
        empty: identities.filter((each) => !articles.some((it) => each.contains(it))).length,
        rows: seen(document.querySelectorAll(".identities tbody tr")).length,
        identities: identities.length,
      };
    }, id);
  }
  await page.$$eval("input:not([id])", (all) => all.forEach((one) => one.click()));
  await page.emulateMediaType("print");
  const unprinted = await page.$$eval("details li, details pre, details td", (all) =>
    all.filter((one) => !one.checkVisibility() || !one.getBoundingClientRect().height).length,
  );
  await page.emulateMediaType("screen");
  await page.emulateMediaFeatures(scheme); // which the change of the media has reset
  await page.$$eval("details", (all) => all.forEach((one) => (one.open = true)));
  const seen = await page.evaluate(() => ({
    title: document.title,
    text: document.body.innerText,
    scripts: document.scripts.length,
    images: document.images.length,
    elements: [...new Set([...document.querySelectorAll("*")].map((one) => one.localName))],
    background: getComputedStyle(document.body).backgroundColor,
    colour: getComputedStyle(document.body).color,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  }));
  await page.evaluate(readFileSync(axe, "utf8")); // by the debugger: the page allows no script
  const violations = await page.evaluate(async () =>
    (await window.axe.run()).violations.map((one) => `${one.id}: ${one.nodes[0].html}`),
  );
  await page.close();
  return { name, blank, points, screens, chosen, unprinted, violations, said, requests: requests.filter((one) => one !== url), ...seen };
}

const answers = [];
for (const view of views) answers.push(await look(view));
await browser.close();
console.log(JSON.stringify(answers));
